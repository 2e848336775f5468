import { monitor } from '../../../lib/action/monitor';
import { runAction } from '../../../lib/action/run';
import { rsyncDriver } from '../../../lib/engine/rsync/driver';

runAction(monitor, rsyncDriver);
