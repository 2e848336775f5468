import { incrementFlatten } from '../../../lib/action/increment-flatten';
import { runAction } from '../../../lib/action/run';
import { zfsDriver } from '../../../lib/engine/zfs/driver';

runAction(incrementFlatten, zfsDriver);
