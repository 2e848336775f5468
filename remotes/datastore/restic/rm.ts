import { rm } from '../../../lib/action/rm';
import { runAction } from '../../../lib/action/run';
import { resticDriver } from '../../../lib/engine/restic/driver';

runAction(rm, resticDriver);
