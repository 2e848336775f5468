import { backupCancel } from '../../../lib/action/backup-cancel';
import { runAction } from '../../../lib/action/run';
import { rsyncDriver } from '../../../lib/engine/rsync/driver';

runAction(backupCancel, rsyncDriver);
