import { ls } from '../../../lib/action/ls';
import { runAction } from '../../../lib/action/run';
import { resticDriver } from '../../../lib/engine/restic/driver';

runAction(ls, resticDriver);
