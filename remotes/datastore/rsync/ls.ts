import { ls } from '../../../lib/action/ls';
import { runAction } from '../../../lib/action/run';
import { rsyncDriver } from '../../../lib/engine/rsync/driver';

runAction(ls, rsyncDriver);
