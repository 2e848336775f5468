import { incrementFlatten } from '../../../lib/action/increment-flatten';
import { runAction } from '../../../lib/action/run';
import { rsyncDriver } from '../../../lib/engine/rsync/driver';

runAction(incrementFlatten, rsyncDriver);
