import { backupCancel } from '../../../lib/action/backup-cancel';
import { runAction } from '../../../lib/action/run';
import { zfsDriver } from '../../../lib/engine/zfs/driver';

runAction(backupCancel, zfsDriver);
