import { type Figure, type Row, row } from './row';
import type { ZfsBenchWorld } from './zfs-world';

/** The rows of the ZFS driver. */
export const ZFS_ROWS: readonly Row<ZfsBenchWorld>[] = [
  download(
    'zfs-download',
    'zfs: download of the 30th increment',
    '`ssh HOST cat` of a plain file of that size',
    'plain',
  ),
  download('zfs-download-same', 'zfs: the same', 'that, in a dataset with the settings of ours', 'same'),
  {
    name: 'zfs-temporary',
    what: 'zfs: temporary bytes on the server for it',
    over: 'growth of the dataset, /tmp and /var/tmp, looked at every 0.1 s',
    bound: 0,
    measure: async (world) => {
      const bytes = await world.downloadPeak();
      return { value: bytes, shown: String(bytes) };
    },
  },
  row(
    'zfs-flatten',
    'zfs: flatten a full and 30 increments to 2, disk of 1 GiB (256 MiB of data, 8 MiB in each increment)',
    "rsync driver's flatten of the same chain on the same pool",
    0.1,
    1,
    (world) => ({ ours: () => world.flatten(1024), bare: () => world.rsyncFlatten() }),
  ),
  row('zfs-flatten-size', 'zfs: the same with a disk of 4 GiB (1 GiB of data)', 'that of 1 GiB', 1.2, 1, (world) => ({
    ours: () => world.flatten(4096),
    bare: () => world.flatten(1024),
  })),
  space(
    'zfs-fulls',
    'zfs: space of 10 nightly FULL backups, 1 % changed each',
    'one backup (128 MiB)',
    1.3,
    async (world) => {
      const { one, ten } = await world.nights();
      return [ten, one];
    },
  ),
  space(
    'zfs-increments',
    'zfs: space of a full backup and 30 increments',
    "the full and the increments' own bytes",
    1.2,
    async (world) => {
      const { usedBytes, ownBytes } = await world.chain(1024);
      return [usedBytes.all, usedBytes.full + ownBytes];
    },
  ),
  row('zfs-list', 'zfs: `backupctl list` of 1,000 backups', 'one bare `zfs list` by ssh', 3, 1, (world) =>
    world.list(),
  ),
  row('zfs-backup', 'zfs: backup of an increment of 64 MiB', '`rsync` of that file to the server', 2, 1, (world) => ({
    ours: () => world.backupLarge(),
    bare: () => world.bareLarge(),
  })),
];

/** A row of the download, beside that of a plain file which lies in one of these datasets. */
function download(name: string, what: string, over: string, dataset: 'plain' | 'same'): Row<ZfsBenchWorld> {
  return row(name, what, over, 1.1, 1, async (world) => {
    await world.layPlain(dataset);
    return { ours: () => world.download(), bare: () => world.bareDownload(dataset) };
  });
}

/** A row that compares two sizes, in bytes; they are measured once, for they do not vary. */
function space(
  name: string,
  what: string,
  over: string,
  bound: number,
  sizes: (world: ZfsBenchWorld) => Promise<readonly [number, number]>,
): Row<ZfsBenchWorld> {
  const measure = async (world: ZfsBenchWorld): Promise<Figure> => {
    const [ours, bare] = await sizes(world);
    const shown = [ours, bare].map((bytes) => Math.round(bytes / 2 ** 20));
    return { value: ours / bare, shown: `${(ours / bare).toFixed(3)} (${shown.join(' / ')} MiB)` };
  };
  return { name, what, over, bound, measure };
}
