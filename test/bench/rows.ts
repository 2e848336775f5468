import { join } from 'node:path';
import { compare, type Pair, timed } from './measure';
import type { BenchWorld } from './world';

/** What one row of the table says. */
interface Figure {
  /** In the unit of the bound. */
  readonly value: number;
  readonly shown: string;
}

/** A row of the table of figures. */
export interface Row {
  readonly name: string;
  readonly what: string;
  readonly over: string;
  readonly bound: number;
  readonly measure: (world: BenchWorld, rounds: number) => Promise<Figure>;
}

const MANY = 300;

/** All rows, in the order of the table. */
export const ROWS: readonly Row[] = [
  ...rowsWith(0, '', ''),
  ...rowsWith(MANY, `-${MANY}`, `, ${MANY} snapshots in the repository`),
  row('monitor', '`monitor`', 'one `ssh HOST true`', 0.6, 4, (world) => ({
    ours: () => world.script('restic/monitor', ['100'], world.frontEnd.message('monitor')),
    bare: () => timed({ program: 'ssh', args: ['server', 'true'], env: world.frontEnd.env }),
  })),
  row('help', '`monitor --help`', '`node -e 0`', 3, 6, ({ frontEnd: { built, env } }) => ({
    ours: () => timed({ program: join(built, 'restic/monitor'), args: ['--help'], env }),
    bare: () => timed({ program: process.execPath, args: ['-e', '0'], env }),
  })),
  connections('connections-host', 'SSH connections of a backup to the host', 'counted in the log of sshd', 1, 'host'),
  connections(
    'connections-server',
    'SSH connections of a backup to the backup server',
    "counted, restic's own among them",
    2,
    'server',
  ),
  {
    name: 'temporary',
    what: 'temporary bytes of a full download',
    over: 'counted every 20 ms',
    bound: 0,
    measure: async (world) => {
      const bytes = await world.downloadPeak(await world.vm(0));
      return { value: bytes, shown: String(bytes) };
    },
  },
];

function rowsWith(snapshots: number, suffix: string, where: string): Row[] {
  return [
    row(
      `unchanged${suffix}`,
      `backup of unchanged 256 MiB${where}`,
      'one bare `restic backup` of the same files',
      1.25,
      1,
      async (world) => {
        const { id } = await world.vm(snapshots);
        return { ours: () => world.backup(id), bare: () => world.bareBackup(id) };
      },
    ),
    row(`new${suffix}`, `backup of new 256 MiB${where}`, 'same', 1.1, 1, async (world) => {
      const { id } = await world.vm(snapshots);
      const anew = (backup: () => Promise<number>) => () => {
        world.newDisk(id);
        return backup();
      };
      return { ours: anew(() => world.backup(id)), bare: anew(() => world.bareBackup(id)) };
    }),
    ...(['ls', 'stat'] as const).map((action) =>
      row(`${action}${suffix}`, `\`${action}\`${where}`, 'one bare `restic snapshots ID`', 1.15, 1, async (world) => {
        const vm = await world.vm(snapshots);
        return { ours: () => world[action](vm), bare: () => world.bareLook(vm) };
      }),
    ),
  ];
}

/** A row that compares two times; quick ones are worth more rounds. */
function row(
  name: string,
  what: string,
  over: string,
  bound: number,
  times: number,
  pair: (world: BenchWorld) => Pair | Promise<Pair>,
): Row {
  const measure = async (world: BenchWorld, rounds: number): Promise<Figure> => {
    const { ours, bare } = await compare(await pair(world), rounds * times);
    return { value: ours / bare, shown: `${(ours / bare).toFixed(2)} (${Math.round(ours)} / ${Math.round(bare)} ms)` };
  };
  return { name, what, over, bound, measure };
}

function connections(name: string, what: string, over: string, bound: number, side: 'host' | 'server'): Row {
  const measure = async (world: BenchWorld): Promise<Figure> => {
    const { id } = await world.vm(0);
    const before = world.connections()[side];
    await world.backup(id);
    const count = world.connections()[side] - before;
    return { value: count, shown: String(count) };
  };
  return { name, what, over, bound, measure };
}
