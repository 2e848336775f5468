import type { StoredPoint } from '../engine/inventory';
import { chainUpToPoint, dependantsOf, type PlacedPoint } from '../engine/inventory-chains';
import { problemOf } from '../engine/inventory-problems';
import { DriverError } from '../errors';
import { parseVmId } from '../opennebula/ids';
import { csvLine, flawsText, healthText, NOT_LOOKED_AT, sizeText, timeText } from './backup-texts';
import { usage } from './call';
import { treeOf } from './list-tree';
import { askOned, type Comparison, compareWithOned, noteUncompared, type OnedAnswer } from './oned-backups';
import type { Screen } from './screen';
import { inventoryOf, type StoredBackups, storedBackups } from './stored-backups';
import type { Subcommand } from './subcommand';

const CSV = 'vm,vm_name,job,image,increment,parent,type,source,time,stored_bytes,disks,manifest,health,needed_by,oned';

/** list: the backups of a datastore. */
export const list: Subcommand = {
  name: 'list',
  summary: 'Lists the backups that the server holds, by VM and chain, and what oned thinks of them.',
  details:
    'What is listed comes from the backup server alone. When oned answers and knows the datastore, what only one of the two knows is told, too.',
  positionals: [{ name: 'FILE|ID', describe: 'the template of a datastore, or its id', completes: 'file' }],
  options: [
    { name: 'vm', value: 'N', describe: 'Only the backups of this VM' },
    { name: 'json', describe: 'Print one JSON document, what is not ASCII as \\u escapes' },
    { name: 'csv', describe: 'Print CSV, in UTF-8' },
  ],
  opensDatastore: true,
  examples: [
    { line: 'list 100', meaning: 'all backups of datastore 100' },
    { line: 'list backups.ds --id 100 --vm 7', meaning: 'those of VM 7, without oned, as the file of the template' },
    { line: 'list 100 --csv > backups.csv', meaning: 'for a spreadsheet; sizes in bytes, times in UTC' },
  ],
  async run(context) {
    const { line, screen } = context;
    if (line.flag('json') && line.flag('csv')) throw usage('list', '--json and --csv exclude each other');
    const vmId = line.optional('vm', parseVmId);
    const opened = await context.open(line.word('FILE|ID'));
    const looked: Promise<Stored> = storedBackups(inventoryOf(opened), vmId).catch((error) => {
      // A place that is not there is no reason to be silent about what oned lists: nothing, before the first backup.
      if (opened.from === 'oned' && error instanceof DriverError && error.kind === 'notFound') return nothing(error);
      throw error;
    });
    const [stored, answer] = await Promise.all([looked, askOned(opened, context)]);
    if (stored.gone !== undefined) screen.warn(stored.gone.message);
    for (const { message } of stored.failures) screen.warn(`not listed: ${message}`);
    noteUncompared(answer, screen);
    if (stored.unclear > 0)
      screen.note(`the place of ${stored.unclear} backups is not clear from the list; --vm N looks at them`);
    const points = stored.placed.map(({ point }) => point);
    const backups =
      'why' in answer ? undefined : answer.backups.filter((one) => vmId === undefined || one.vmId === vmId);
    const comparison = backups === undefined ? undefined : compareWithOned(points, backups);
    if (line.flag('json')) screen.json(document(opened.datastore.id, stored, answer, comparison));
    else if (line.flag('csv')) printCsv(stored, comparison, screen);
    else print(stored, comparison, screen);
    // What could not be looked at may hold backups; a place that is not there held those that oned lists.
    const isMissed = stored.gone !== undefined && (backups === undefined || backups.length > 0);
    const [failure = isMissed ? stored.gone : undefined] = stored.failures;
    return failure?.exitCode ?? 0;
  },
};

/** What is stored, or why there is no place where it could be. */
type Stored = StoredBackups & { readonly gone?: DriverError };

function nothing(gone: DriverError): Stored {
  return { placed: [], unclear: 0, unlooked: new Set(), failures: [], gone };
}

function print(stored: Stored, comparison: Comparison | undefined, screen: Screen): void {
  const { placed, unlooked } = stored;
  if (screen.isRead) screen.tree(treeOf(stored, comparison, screen));
  else {
    const columns = [
      { title: 'VM', align: 'right' as const },
      { title: 'INC', align: 'right' as const },
      { title: 'TYPE' },
      { title: 'SOURCE' },
      { title: 'TIME' },
      { title: 'SIZE', align: 'right' as const },
      { title: 'HEALTH', wrap: true },
    ];
    const rows = placed.map((one) => rowOf(one, unlooked));
    screen.table(columns, rows);
  }
  if (placed.length === 0 && stored.failures.length === 0 && stored.gone === undefined) screen.note('no backups');
  const wrong = placed.filter((one) => problemOf(one) !== undefined && !unlooked.has(one));
  const parts = wrong.filter(({ broken }) => broken === undefined).length;
  if (wrong.length > 0) {
    const inPart = parts === 0 ? '' : `, ${parts} of them but for the disks that are damaged`;
    screen.warn(`${wrong.length} of ${placed.length} backups cannot be restored${inPart}`);
  }
  const only = stored.gone === undefined ? 'only oned' : 'oned lists';
  for (const { vmId, incrementId, source, imageId } of comparison?.onlyOned ?? [])
    screen.warn(`${only}: increment ${incrementId ?? 0} (${source}) of VM ${vmId ?? '?'}, image ${imageId}`);
  for (const { vmId, incrementId, source } of comparison?.onlyServer ?? [])
    screen.warn(`only on the server: increment ${incrementId ?? '?'} (${source}) of VM ${vmId}`);
}

function rowOf(placed: PlacedPoint, unlooked: ReadonlySet<PlacedPoint>): string[] {
  const { vmId, incrementId, type, source, timeMs, storedBytes } = placed.point;
  const time = timeText(timeMs);
  const kind = type === 'INCREMENT' ? 'inc' : type === 'FULL' ? 'full' : '?';
  return [
    String(vmId),
    String(incrementId ?? '?'),
    kind,
    source,
    time,
    sizeText(storedBytes),
    healthText(placed, unlooked),
  ];
}

/** A backup as JSON and CSV tell it. */
export function backupDocument(placed: PlacedPoint) {
  const { point, supersededBy, missing, parent } = placed;
  const problem = problemOf(placed);
  const { timeMs, vmName = null, jobId = null, imageId = null, storedBytes = null, ...rest } = point;
  return {
    ...{ ...rest, vmName, jobId, imageId, storedBytes },
    time: new Date(timeMs).toISOString(),
    parentSource: parent?.point.source ?? null,
    chain: problem === undefined ? chainUpToPoint(placed) : null,
    health: problem === undefined ? 'ok' : 'broken',
    problem: problem ?? null,
    missingIncrement: missing ?? null,
    supersededBy: supersededBy?.source ?? null,
    neededBy: dependantsOf(placed).map((one) => one.point.source),
  };
}

function document(id: number, stored: Stored, answer: OnedAnswer, comparison: Comparison | undefined) {
  return {
    datastore: id,
    backups: stored.placed.map((placed) => ({
      ...backupDocument(placed),
      ...(stored.unlooked.has(placed) ? { health: NOT_LOOKED_AT, problem: null } : {}),
      ...(comparison === undefined ? {} : { inOned: !comparison.onlyServer.includes(placed.point) }),
    })),
    failures: [stored.gone ?? [], stored.failures].flat().map(({ message }) => message),
    oned:
      'why' in answer ? { compared: false, why: answer.why } : { compared: true, onlyOned: comparison?.onlyOned ?? [] },
  };
}

function printCsv({ placed, unlooked }: StoredBackups, comparison: Comparison | undefined, screen: Screen): void {
  screen.csv(CSV);
  for (const one of placed) {
    const { vmId, vmName, jobId, imageId, incrementId, parentId, type, source, ...rest } = one.point;
    const oned = comparison === undefined ? '' : listedText(one.point, comparison);
    const needed = dependantsOf(one).length;
    const stored = [new Date(rest.timeMs).toISOString(), rest.storedBytes, rest.disks.map(({ id }) => id).join(' ')];
    const row = [vmId, vmName, jobId, imageId, incrementId, parentId, type, source, ...stored];
    const health = unlooked.has(one) ? NOT_LOOKED_AT : (problemOf(one) ?? flawsText(one.point, 'ok'));
    screen.csv(csvLine([...row, rest.hasManifest ? 'yes' : 'no', health, needed, oned]));
  }
  for (const { vmId, imageId, incrementId, source } of comparison?.onlyOned ?? [])
    screen.csv(csvLine([vmId, '', '', imageId, incrementId, '', '', source, '', '', '', '', 'not stored', '', 'only']));
}

function listedText(point: StoredPoint, { onlyServer }: Comparison): string {
  return onlyServer.includes(point) ? 'no' : 'yes';
}
