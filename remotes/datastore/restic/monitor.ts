import { monitor } from '../../../lib/action/monitor';
import { runAction } from '../../../lib/action/run';
import { resticDriver } from '../../../lib/engine/restic/driver';

runAction(monitor, resticDriver);
