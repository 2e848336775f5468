import { restore } from '../../../lib/action/restore';
import { runAction } from '../../../lib/action/run';
import { zfsDriver } from '../../../lib/engine/zfs/driver';

runAction(restore, zfsDriver);
