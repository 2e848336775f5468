import { backup } from '../../../lib/action/backup';
import { runAction } from '../../../lib/action/run';
import { resticDriver } from '../../../lib/engine/restic/driver';

runAction(backup, resticDriver);
