import type { Leftover, StoredPoint } from '../engine/inventory';
import { dependantsOf, type PlacedPoint, superseded } from '../engine/inventory-chains';
import { asDriverError, type DriverError } from '../errors';
import { pointText, sizeText, timeText } from './backup-texts';
import { usage } from './call';
import { askOned, compareWithOned, noteUncompared, type OnedAnswer } from './oned-backups';
import { inventoryOf, storedBackups } from './stored-backups';
import type { Subcommand } from './subcommand';

/** oned hears of a backup after it was stored: one so young is none that it forgot, in milliseconds. */
const YOUNG_MS = 24 * 3_600_000;

/** sweep: removes what nobody needs any more. */
export const sweep: Subcommand = {
  name: 'sweep',
  summary: 'Shows what dead actions left, and removes it with --yes.',
  details: `These are: unfinished transfers, merges and uploads, temporary folders, stale locks, and backups that stayed
    although a merged one took their place. What somebody uses stays. Backups that oned does not list are shown, and removed
    only with --orphans as well, of an ID, when oned answers, nothing that it lists needs them, and they are older than a day.`.replace(
    /\s+/g,
    ' ',
  ),
  positionals: [{ name: 'FILE|ID', describe: 'the template of a datastore, or its id', completes: 'file' }],
  options: [
    { name: 'yes', describe: 'Remove what is shown' },
    { name: 'orphans', describe: 'With --yes, of an ID: remove backups, too, that oned does not list' },
    { name: 'json', describe: 'Print one JSON document' },
  ],
  opensDatastore: true,
  examples: [
    { line: 'sweep 100', meaning: 'what could go' },
    { line: 'sweep 100 --yes', meaning: 'and away with it' },
  ],
  async run(context) {
    const { line, screen, signal } = context;
    const opened = await context.open(line.word('FILE|ID'));
    const withOrphans = line.flag('orphans');
    if (withOrphans && opened.from === 'file')
      throw usage('sweep', '--orphans is for the ID of a datastore: of a FILE, oned cannot say that it lists all');
    const inventory = inventoryOf(opened);
    const unknown: DriverError[] = [];
    const [{ placed, failures: unlisted }, answer] = await Promise.all([
      storedBackups(inventory, undefined),
      askOned(opened, context),
    ]);
    noteUncompared(answer, screen);
    for (const { message } of unlisted) screen.warn(`not listed: ${message}`);
    unknown.push(...unlisted);
    const left = await inventory.leftovers((failure) => {
      unknown.push(failure);
      screen.warn(`not looked into: ${failure.message}`);
    });
    const old = replaced(placed, answer);
    const orphans = orphansOf(placed, answer);
    const removable = (all: readonly StoredPoint[], what: string): Leftover[] =>
      all.map((point) => ({
        what: `${what}: ${pointText(point)}`,
        where: point.source,
        bytes: point.storedBytes,
        modifiedMs: point.timeMs,
        remove: () => inventory.removePoints([point]),
      }));
    const merged = removable(old, 'superseded by a merged backup');
    const doomed = [...left, ...merged];
    const isAnswered = 'backups' in answer;
    const alone = removable(orphans, 'not in oned');
    const shown = [...doomed, ...alone];
    if (!line.flag('json')) {
      const columns = [
        { title: 'WHAT', wrap: true },
        { title: 'WHERE', wrap: true },
        { title: 'SIZE', align: 'right' as const },
        { title: 'SINCE' },
      ];
      const since = (ms: number | undefined): string => (ms === undefined ? '' : timeText(ms).slice(0, 16));
      if (shown.length > 0)
        screen.table(
          columns,
          shown.map(({ what, where, bytes, modifiedMs }) => [what, where, sizeText(bytes), since(modifiedMs)]),
        );
      else screen.note('nothing is left over');
    }
    const removed: Leftover[] = [];
    const failures = new Map<Leftover, DriverError>();
    for (const one of line.flag('yes') ? [...left, ...(isAnswered ? merged : []), ...(withOrphans ? alone : [])] : []) {
      signal.throwIfAborted();
      try {
        await one.remove();
        removed.push(one);
      } catch (error) {
        failures.set(one, asDriverError(error));
      }
    }
    signal.throwIfAborted();
    if (line.flag('json')) {
      const told = shown.map(({ what, where, bytes = null, modifiedMs }) => {
        return { what, where, bytes, since: modifiedMs === undefined ? null : new Date(modifiedMs).toISOString() };
      });
      screen.json({
        leftovers: told,
        orphans: orphans.map(({ source }) => source),
        orphanBackups: orphans.map(({ vmId, jobId = null, incrementId = null, source }) => {
          return { vmId, jobId, incrementId, source };
        }),
        removed: removed.length,
        failures: [...failures].map(([{ what, where }, { message }]) => ({ what, where, message })),
      });
    } else if (line.flag('yes')) screen.note(`removed ${removed.length} of ${shown.length}`);
    else if (doomed.length > 0) screen.note('nothing was removed: that takes --yes');
    if (merged.length > 0 && !isAnswered)
      screen.note('superseded backups go only when oned answers, for it may still list them');
    if (alone.length > 0 && !(withOrphans && line.flag('yes')))
      screen.note('backups that oned does not list go only by sweep ID --yes --orphans');
    for (const { message } of failures.values()) screen.warn(`not removed: ${message}`);
    return [...unknown, ...failures.values()][0]?.exitCode ?? 0;
  },
};

/** What was merged and stayed; not what oned still offers for a restore. */
function replaced(placed: readonly PlacedPoint[], answer: OnedAnswer): StoredPoint[] {
  const listed = new Set('why' in answer ? [] : answer.backups.map(({ source }) => source));
  return superseded(placed)
    .map(({ point }) => point)
    .filter(({ source }) => !listed.has(source));
}

/** What oned does not list, and nothing needs that it does. */
function orphansOf(placed: readonly PlacedPoint[], answer: OnedAnswer): StoredPoint[] {
  if ('why' in answer) return [];
  const points = placed.map(({ point }) => point);
  const unlisted = new Set(compareWithOned(points, answer.backups).onlyServer);
  return placed
    .filter((one) => unlisted.has(one.point) && one.supersededBy === undefined)
    .filter((one) => [one, ...dependantsOf(one)].every(({ point }) => unlisted.has(point) && isOld(point)))
    .map(({ point }) => point)
    .reverse();
}

/** One whose time is not known may be young. */
function isOld({ timeMs }: StoredPoint): boolean {
  return timeMs > 0 && Date.now() - timeMs > YOUNG_MS;
}
