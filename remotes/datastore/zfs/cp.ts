import { runAction } from '../../../lib/action/run';
import { unsupported } from '../../../lib/action/unsupported';
import { zfsDriver } from '../../../lib/engine/zfs/driver';

runAction(unsupported('cp'), zfsDriver);
