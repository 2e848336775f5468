import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';

/** Dirty blocks are whole clusters of qcow2. */
const CLUSTER_BYTES = 64 * 1024;

/** The content of a disk at one moment: the byte that each of its clusters is full of. */
export type PlainDisk = readonly number[];

/** The content as the bytes themselves. */
export function bytesOf(disk: PlainDisk): Buffer {
  return Buffer.concat(disk.map((byte) => Buffer.alloc(CLUSTER_BYTES, byte)));
}

/** Lays all of a disk into a file. */
export function layWhole(file: string, disk: PlainDisk, format: 'qcow2' | 'raw'): void {
  if (format === 'raw') writeFileSync(file, bytesOf(disk));
  else
    write(
      file,
      disk,
      [...disk.keys()].filter((cluster) => disk[cluster] !== 0),
    );
}

/** Lays what differs from an older content into a file, and the clusters in `touched` too: a qcow2 whose backing file means nothing. */
export function layIncrement(file: string, disk: PlainDisk, old: PlainDisk, touched: readonly number[]): void {
  const dirty = [...disk.keys()].filter(
    (cluster) => disk[cluster] !== (old[cluster] ?? 0) || touched.includes(cluster),
  );
  write(file, disk, dirty);
  execFileSync('qemu-img', ['rebase', '-u', '-f', 'qcow2', '-F', 'qcow2', '-b', '/nowhere/at-all', file]);
}

function write(file: string, disk: PlainDisk, clusters: readonly number[]): void {
  execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', file, String(disk.length * CLUSTER_BYTES)]);
  const commands = clusters.map((cluster) => {
    const where = `${cluster * CLUSTER_BYTES} ${CLUSTER_BYTES}`;
    return disk[cluster] === 0 ? `write -q -z ${where}` : `write -q -P ${disk[cluster]} ${where}`;
  });
  if (commands.length === 0) return;
  execFileSync('qemu-io', ['-f', 'qcow2', file], {
    input: `${commands.join('\n')}\n`,
    stdio: ['pipe', 'ignore', 'inherit'],
  });
}
