import { monitor } from '../../../lib/action/monitor';
import { runAction } from '../../../lib/action/run';
import { zfsDriver } from '../../../lib/engine/zfs/driver';

runAction(monitor, zfsDriver);
