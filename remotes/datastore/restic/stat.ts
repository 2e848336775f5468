import { runAction } from '../../../lib/action/run';
import { stat } from '../../../lib/action/stat';
import { resticDriver } from '../../../lib/engine/restic/driver';

runAction(stat, resticDriver);
