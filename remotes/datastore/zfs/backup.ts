import { backup } from '../../../lib/action/backup';
import { runAction } from '../../../lib/action/run';
import { zfsDriver } from '../../../lib/engine/zfs/driver';

runAction(backup, zfsDriver);
