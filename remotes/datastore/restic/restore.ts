import { restore } from '../../../lib/action/restore';
import { runAction } from '../../../lib/action/run';
import { resticDriver } from '../../../lib/engine/restic/driver';

runAction(restore, resticDriver);
