import { runControl } from '../../lib/control/run';
import { subcommands } from '../../lib/control/subcommands';
import { resticDriver } from '../../lib/engine/restic/driver';
import { rsyncDriver } from '../../lib/engine/rsync/driver';
import { zfsDriver } from '../../lib/engine/zfs/driver';

runControl(subcommands, [resticDriver, rsyncDriver, zfsDriver]);
