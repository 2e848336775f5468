import { rm } from '../../../lib/action/rm';
import { runAction } from '../../../lib/action/run';
import { rsyncDriver } from '../../../lib/engine/rsync/driver';

runAction(rm, rsyncDriver);
