import { runAction } from '../../../lib/action/run';
import { stat } from '../../../lib/action/stat';
import { rsyncDriver } from '../../../lib/engine/rsync/driver';

runAction(stat, rsyncDriver);
