import { incrementFlatten } from '../../../lib/action/increment-flatten';
import { runAction } from '../../../lib/action/run';
import { resticDriver } from '../../../lib/engine/restic/driver';

runAction(incrementFlatten, resticDriver);
