import { runAction } from '../../../lib/action/run';
import { unsupported } from '../../../lib/action/unsupported';
import { rsyncDriver } from '../../../lib/engine/rsync/driver';

runAction(unsupported('snap_delete'), rsyncDriver);
