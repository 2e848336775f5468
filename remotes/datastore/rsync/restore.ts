import { restore } from '../../../lib/action/restore';
import { runAction } from '../../../lib/action/run';
import { rsyncDriver } from '../../../lib/engine/rsync/driver';

runAction(restore, rsyncDriver);
