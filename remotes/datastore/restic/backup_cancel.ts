import { backupCancel } from '../../../lib/action/backup-cancel';
import { runAction } from '../../../lib/action/run';
import { resticDriver } from '../../../lib/engine/restic/driver';

runAction(backupCancel, resticDriver);
