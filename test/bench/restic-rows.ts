import { join } from 'node:path';
import { listedByRestic } from './many-backups';
import { timed } from './measure';
import { type Figure, type Row, row } from './row';
import type { BenchWorld } from './world';

const MANY = 300;

/** The rows of the restic driver. */
export const RESTIC_ROWS: readonly Row<BenchWorld>[] = [
  ...rowsWith(0, '', ''),
  ...rowsWith(MANY, `-${MANY}`, `, ${MANY} snapshots in the repository`),
  row('monitor', '`monitor`', 'one `ssh HOST true`', 0.6, 4, (world) => ({
    ours: () => world.script('restic/monitor', ['100'], world.frontEnd.message('monitor')),
    bare: () => timed({ program: 'ssh', args: ['server', 'true'], env: world.frontEnd.env }),
  })),
  row('help', '`monitor --help`', '`node -e 0`', 3, 6, ({ frontEnd: { built, env } }: BenchWorld) => ({
    ours: () => timed({ program: join(built, 'restic/monitor'), args: ['--help'], env }),
    bare: () => timed({ program: process.execPath, args: ['-e', '0'], env }),
  })),
  row('list', '`backupctl list` of 1,000 backups', 'one bare `restic snapshots`', 3, 1, (world) =>
    listedByRestic(world.frontEnd, world.frontEnd.password),
  ),
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

function rowsWith(snapshots: number, suffix: string, where: string): Row<BenchWorld>[] {
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
      row<BenchWorld>(
        `${action}${suffix}`,
        `\`${action}\`${where}`,
        'one bare `restic snapshots ID`',
        1.15,
        1,
        async (world) => {
          const vm = await world.vm(snapshots);
          return { ours: () => world[action](vm), bare: () => world.bareLook(vm) };
        },
      ),
    ),
  ];
}

function connections(
  name: string,
  what: string,
  over: string,
  bound: number,
  side: 'host' | 'server',
): Row<BenchWorld> {
  const measure = async (world: BenchWorld): Promise<Figure> => {
    const { id } = await world.vm(0);
    const before = world.connections()[side];
    await world.backup(id);
    const count = world.connections()[side] - before;
    return { value: count, shown: String(count) };
  };
  return { name, what, over, bound, measure };
}
