import { backup } from '../../../lib/action/backup';
import { runAction } from '../../../lib/action/run';
import { rsyncDriver } from '../../../lib/engine/rsync/driver';

runAction(backup, rsyncDriver);
