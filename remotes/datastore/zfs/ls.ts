import { ls } from '../../../lib/action/ls';
import { runAction } from '../../../lib/action/run';
import { zfsDriver } from '../../../lib/engine/zfs/driver';

runAction(ls, zfsDriver);
