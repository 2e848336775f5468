import { listedByRsync } from './many-backups';
import { type Row, row } from './row';
import type { RsyncWorld } from './rsync-world';

/** The rows of the rsync driver. */
export const RSYNC_ROWS: readonly Row<RsyncWorld>[] = [
  row('rsync-backup', 'rsync: backup of 1 GiB, half zeros', 'the same bare `rsync -aS`', 1.15, 1, (world) => ({
    ours: () => world.backup(),
    bare: () => world.bareBackup(),
  })),
  row('rsync-resumed', 'rsync: backup that was cut at 80 %, resumed', 'the whole', 0.35, 1, (world) => ({
    ours: () => world.resumedBackup(0.8),
    bare: () => world.backup(),
  })),
  row('rsync-download', 'rsync: download of a full backup', '`ssh HOST cat`', 1.1, 2, (world) => ({
    ours: () => world.download(1),
    bare: () => world.bareDownload(1),
  })),
  row(
    'rsync-download-chain',
    'rsync: download of a chain of 6',
    '`qemu-img convert` on the server, then `ssh HOST cat`',
    1.15,
    2,
    (world) => ({ ours: () => world.download(6), bare: () => world.bareDownload(6) }),
  ),
  row('rsync-flatten', 'rsync: flatten 30 to 2', 'bare `qemu-img convert` of the same chain', 1.2, 2, (world) => ({
    ours: () => world.flatten(),
    bare: () => world.bareFlatten(),
  })),
  row('rsync-list', 'rsync: `backupctl list` of 1,000 backups', 'one bare `rsync --list-only -r`', 3, 2, (world) =>
    listedByRsync(world.frontEnd),
  ),
  {
    name: 'rsync-memory',
    what: "rsync: the front-end's memory during any of them, MB",
    over: 'VmHWM, looked at every 50 ms',
    bound: 150,
    measure: async (world) => {
      const runs = [
        () => world.backup(),
        () => world.resumedBackup(0.8),
        () => world.download(1),
        () => world.download(6),
        () => world.flatten(),
      ];
      const most: number[] = [];
      for (const run of runs) most.push(await world.memoryMb(run));
      const value = Math.max(...most);
      return { value, shown: `${value} (${most.join(', ')})` };
    },
  },
];
