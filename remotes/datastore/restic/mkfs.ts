import { runAction } from '../../../lib/action/run';
import { unsupported } from '../../../lib/action/unsupported';
import { resticDriver } from '../../../lib/engine/restic/driver';

runAction(unsupported('mkfs'), resticDriver);
