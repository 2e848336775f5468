import type { Inventory } from '../engine/inventory';
import type { PlacedPoint } from '../engine/inventory-chains';
import { type DiskId, parseIncrementId, parseVmId } from '../opennebula/ids';
import { parseSource } from '../opennebula/increment';
import { pointText, timeText } from './backup-texts';
import { type CommandLine, usage } from './call';
import type { OpenedDatastore } from './open-datastore';
import { choosePoint, parseMoment, type Wanted, wholeChain } from './point-choice';
import type { Screen } from './screen';
import { inventoryOf, storedBackups } from './stored-backups';
import type { Option } from './subcommand';

/** Those that say which backup of a VM is meant, but for the VM. */
const WHICH: readonly Option[] = [
  { name: 'latest', describe: 'The newest backup, which is also the default' },
  { name: 'at', value: 'TIME', describe: 'The newest one up to that time: 2026-11-20, "2026-11-20 05:53"' },
  { name: 'increment', value: 'N', describe: 'This increment, of the newest chain that has it' },
  { name: 'source', value: 'S', describe: 'The backup of that name, as the list shows it' },
];

/** The options that say which backup is meant. */
export const POINT_OPTIONS: readonly Option[] = [{ name: 'vm', value: 'N', describe: 'The VM (required)' }, ...WHICH];

/** Reads them. Throws `usage`. */
export function wantedPoint(line: CommandLine): Wanted {
  const vmId = line.required('vm', parseVmId, 'the VM whose backup is meant');
  const given = WHICH.filter(({ name }) => line.flag(name) || line.text(name) !== undefined);
  if (given.length > 1)
    throw usage(line.subcommand.name, `${given.map(({ name }) => `--${name}`).join(' and ')} exclude each other`);
  return {
    vmId,
    source: line.optional('source', parseSource),
    incrementId: line.optional('increment', parseIncrementId),
    untilMs: line.optional('at', parseMoment),
  };
}

/** Finds that backup, says which it is, and that it, or these disks of it, can be restored. Throws `notFound` or `damaged`. */
export async function findPoint(
  opened: OpenedDatastore,
  wanted: Wanted,
  screen: Screen,
  diskIds: readonly DiskId[] = [],
): Promise<{ readonly chosen: PlacedPoint; readonly inventory: Inventory }> {
  const inventory = inventoryOf(opened);
  const { placed, failures } = await storedBackups(inventory, wanted.vmId);
  for (const { message } of failures) screen.warn(`not looked into: ${message}`);
  const chosen = choosePoint(placed, wanted);
  const links = wholeChain(chosen, placed, diskIds);
  screen.note(`${pointText(chosen.point)} of ${timeText(chosen.point.timeMs)}, ${links.length} in its chain`);
  return { chosen, inventory };
}
