/**
 * Measures the driver against the bare programs that it runs, and prints the figures as a Markdown table.
 *   npm run bench [-- --rows NAME,NAME] [-- --rounds N] [-- --strict] [-- --list]
 * Exit code 1 when something fails, and with --strict also when a figure is over its bound.
 */
import { execFileSync } from 'node:child_process';
import { cpus, release, totalmem } from 'node:os';
import { parseArgs } from 'node:util';
import { ROWS, type Row } from './rows';
import { BenchWorld } from './world';

const USAGE = 'usage: npm run bench -- [--rows NAME,NAME,...] [--rounds N] [--strict] [--list]';

interface Wishes {
  readonly rows: readonly Row[];
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
  const names = values.rows?.split(',');
  const unknown = names?.find((name) => !ROWS.some((row) => row.name === name));
  if (unknown !== undefined) throw new Error(`there is no row ${unknown}; --list names all`);
  if (!/^[1-9][0-9]{0,2}$/.test(values.rounds)) throw new Error('--rounds is a number from 1 to 999');
  const rows = ROWS.filter(({ name }) => names?.includes(name) ?? true);
  return { rows, rounds: Number(values.rounds), strict: values.strict, list: values.list };
}

async function measure({ rows, rounds, strict }: Wishes): Promise<number> {
  const world = await BenchWorld.start();
  const lines: string[] = [];
  let over = 0;
  let stopped = false;
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
    process.on(signal, () => {
      stopped = true;
    });
  try {
    for (const row of rows) {
      if (stopped) return 130;
      process.stderr.write(`bench: ${row.name}\n`);
      const { value, shown } = await row.measure(world, rounds);
      const isOver = value > row.bound;
      if (isOver) over += 1;
      lines.push(`| ${row.what} | ${row.over} | ${row.bound} | ${shown} | ${isOver ? 'over' : 'ok'} |`);
    }
  } finally {
    await world.stop();
  }
  process.stdout.write(
    `${facts(rounds)}\n\n| what | over | bound | measured | |\n|---|---|---|---|---|\n${lines.join('\n')}\n`,
  );
  return strict && over > 0 ? 1 : 0;
}

/** What the figures depend on. */
function facts(rounds: number): string {
  const [cpu] = cpus();
  const restic = execFileSync('restic', ['version'], { encoding: 'utf8' }).split(' ')[1];
  const memory = (totalmem() / 2 ** 30).toFixed(0);
  return [
    `Medians of ${rounds} rounds or more, taken in turns; ${cpus().length} x ${cpu?.model.trim()}, ${memory} GiB, Linux ${release()},`,
    `Node ${process.version}, restic ${restic}, sshd on loopback.`,
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
    for (const { name, what } of asked.rows) process.stdout.write(`${name.padEnd(20)}${what}\n`);
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
