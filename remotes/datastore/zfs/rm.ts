import { rm } from '../../../lib/action/rm';
import { runAction } from '../../../lib/action/run';
import { zfsDriver } from '../../../lib/engine/zfs/driver';

runAction(rm, zfsDriver);
