/**
 * Measures the drivers against the bare programs that it runs, and prints the figures as a Markdown table.
 *   npm run bench [-- --rows NAME,NAME] [-- --rounds N] [-- --strict] [-- --list]
 * Exit code 1 when something fails, and with --strict also when a figure is over its bound.
 */
import { execFileSync } from 'node:child_process';
import { cpus, release, totalmem } from 'node:os';
import { parseArgs } from 'node:util';
import { RESTIC_ROWS } from './restic-rows';
import type { Figure, Row } from './row';
import { RSYNC_ROWS } from './rsync-rows';
import { RsyncWorld } from './rsync-world';
import { BenchWorld } from './world';
import { ZFS_ROWS } from './zfs-rows';
import { ZfsBenchWorld } from './zfs-world';

const USAGE = 'usage: npm run bench -- [--rows NAME,NAME,...] [--rounds N] [--strict] [--list]';

/** Rows and the world in which they are measured. */
interface Group<World extends { stop(): Promise<void> }> {
  readonly rows: readonly Row<World>[];
  readonly start: () => Promise<World>;
}

/** A group whose world is nobody's business. */
interface AnyGroup {
  readonly rows: readonly Pick<Row<never>, 'name' | 'what' | 'over' | 'bound'>[];
  readonly measure: (names: ReadonlySet<string>, rounds: number, tell: Tell) => Promise<void>;
}

/** Told of each figure; false ends the measuring. */
type Tell = (row: AnyGroup['rows'][number], figure: Figure) => boolean;

/** All groups, in the order of the table. */
const GROUPS: readonly AnyGroup[] = [
  group({ rows: RESTIC_ROWS, start: () => BenchWorld.start() }),
  group({ rows: RSYNC_ROWS, start: () => RsyncWorld.start() }),
  group({ rows: ZFS_ROWS, start: () => ZfsBenchWorld.start() }),
];

function group<World extends { stop(): Promise<void> }>({ rows, start }: Group<World>): AnyGroup {
  return {
    rows,
    async measure(names, rounds, tell) {
      const wanted = rows.filter(({ name }) => names.has(name));
      if (wanted.length === 0) return;
      const world = await start();
      try {
        for (const row of wanted) {
          process.stderr.write(`bench: ${row.name}\n`);
          if (!tell(row, await row.measure(world, rounds))) return;
        }
      } finally {
        await world.stop();
      }
    },
  };
}

interface Wishes {
  readonly names: ReadonlySet<string>;
  readonly rounds: number;
  readonly strict: boolean;
  readonly list: boolean;
}

function wishes(args: readonly string[]): Wishes {
  const { values } = parseArgs({
    args: [...args],
    options: {
      rows: { type: 'string' },
      rounds: { type: 'string', default: '5' },
      strict: { type: 'boolean', default: false },
      list: { type: 'boolean', default: false },
    },
  });
  const all = GROUPS.flatMap(({ rows }) => rows.map(({ name }) => name));
  const names = values.rows?.split(',') ?? all;
  const unknown = names.find((name) => !all.includes(name));
  if (unknown !== undefined) throw new Error(`there is no row ${unknown}; --list names all`);
  if (!/^[1-9][0-9]{0,2}$/.test(values.rounds)) throw new Error('--rounds is a number from 1 to 999');
  return { names: new Set(names), rounds: Number(values.rounds), strict: values.strict, list: values.list };
}

async function measure({ names, rounds, strict }: Wishes): Promise<number> {
  const lines: string[] = [];
  let over = 0;
  let stopped = false;
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
    process.on(signal, () => {
      stopped = true;
    });
  const tell: Tell = (row, { value, shown }) => {
    const isOver = value > row.bound;
    if (isOver) over += 1;
    process.stderr.write(`bench: ${row.name}: ${shown}, bound ${row.bound}\n`);
    lines.push(`| ${row.what} | ${row.over} | ${row.bound} | ${shown} | ${isOver ? 'over' : 'ok'} |`);
    return !stopped;
  };
  for (const one of GROUPS) if (!stopped) await one.measure(names, rounds, tell);
  process.stdout.write(
    `${facts(rounds)}\n\n| what | over | bound | measured | |\n|---|---|---|---|---|\n${lines.join('\n')}\n`,
  );
  if (stopped) return 130;
  return strict && over > 0 ? 1 : 0;
}

/** What the figures depend on. */
function facts(rounds: number): string {
  const [cpu] = cpus();
  const restic = execFileSync('restic', ['version'], { encoding: 'utf8' }).split(' ')[1];
  const rsync = execFileSync('rsync', ['--version'], { encoding: 'utf8' }).split(/\s+/)[2];
  const memory = (totalmem() / 2 ** 30).toFixed(0);
  return [
    `Medians of ${rounds} rounds or more, taken in turns; ${cpus().length} x ${cpu?.model.trim()}, ${memory} GiB, Linux ${release()},`,
    `Node ${process.version}, restic ${restic}, rsync ${rsync}, sshd on loopback.`,
  ].join(' ');
}

async function main(): Promise<number> {
  let asked: Wishes;
  try {
    asked = wishes(process.argv.slice(2));
  } catch (error) {
    process.stderr.write(`bench: ${(error as Error).message}\n${USAGE}\n`);
    return 2;
  }
  if (asked.list) {
    for (const { name, what } of GROUPS.flatMap(({ rows }) => rows))
      process.stdout.write(`${name.padEnd(24)}${what}\n`);
    return 0;
  }
  return measure(asked);
}

main().then(
  (code) => process.exit(code),
  (error: unknown) => {
    process.stderr.write(`bench: ${error instanceof Error ? error.message : String(error)}\n`);
    process.exit(1);
  },
);
