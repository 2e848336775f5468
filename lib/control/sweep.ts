import type { Leftover, StoredPoint } from '../engine/inventory';
import { dependantsOf, type PlacedPoint, superseded } from '../engine/inventory-chains';
import { asDriverError, type DriverError } from '../errors';
import { pointText, sizeText, timeText } from './backup-texts';
import { askOned, compareWithOned, type OnedAnswer } from './oned-backups';
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
    only with --orphans as well, when oned answers, nothing that it lists needs them, and they are older than a day.`.replace(
    /\s+/g,
    ' ',
  ),
  positionals: [{ name: 'FILE|ID', describe: 'the template of a datastore, or its id', completes: 'file' }],
  options: [
    { name: 'yes', describe: 'Remove what is shown' },
    { name: 'orphans', describe: 'With --yes: remove backups, too, that oned does not list' },
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
    const inventory = inventoryOf(opened);
    const failures: DriverError[] = [];
    const [{ placed, failures: unlisted }, answer] = await Promise.all([
      storedBackups(inventory, undefined),
      askOned(opened, context),
    ]);
    if ('why' in answer) screen.note(`not compared with oned: ${answer.why}`);
    for (const { message } of unlisted) screen.warn(`not listed: ${message}`);
    failures.push(...unlisted);
    const left = await inventory.leftovers((failure) => {
      failures.push(failure);
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
    const doomed = [...left, ...removable(old, 'superseded by a merged backup')];
    const alone = removable(orphans, 'not in oned');
    const withOrphans = line.flag('orphans');
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
    const kept: DriverError[] = [];
    for (const one of line.flag('yes') ? [...doomed, ...(withOrphans ? alone : [])] : []) {
      signal.throwIfAborted();
      try {
        await one.remove();
        removed.push(one);
      } catch (error) {
        kept.push(asDriverError(error));
      }
    }
    signal.throwIfAborted();
    if (line.flag('json')) {
      const told = shown.map(({ what, where, bytes = null, modifiedMs }) => {
        return { what, where, bytes, since: modifiedMs === undefined ? null : new Date(modifiedMs).toISOString() };
      });
      screen.json({ leftovers: told, orphans: orphans.map(({ source }) => source), removed: removed.length });
    } else if (line.flag('yes')) screen.note(`removed ${removed.length} of ${shown.length}`);
    else if (doomed.length > 0) screen.note('nothing was removed: that takes --yes');
    if (alone.length > 0 && !(withOrphans && line.flag('yes')))
      screen.note('backups that oned does not list go only with --yes --orphans');
    for (const { message } of kept) screen.warn(`not removed: ${message}`);
    return [...failures, ...kept][0]?.exitCode ?? 0;
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
    .filter((one) => Date.now() - one.point.timeMs > YOUNG_MS)
    .filter((one) => dependantsOf(one).every(({ point }) => unlisted.has(point)))
    .map(({ point }) => point)
    .reverse();
}
