import { runAction } from '../../../lib/action/run';
import { stat } from '../../../lib/action/stat';
import { zfsDriver } from '../../../lib/engine/zfs/driver';

runAction(stat, zfsDriver);
