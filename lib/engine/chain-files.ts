import { parseDiskFile } from '../opennebula/backup-url';
import type { AbsolutePath } from '../opennebula/ids';

/** A file of a chain, where it can be read. */
export interface ChainFile {
  readonly path: AbsolutePath;
  readonly name: string;
  /** Its place in the chain: 0 for the full backup. */
  readonly link: number;
}

/** Files of one disk in the order of the chain, the full backup first. */
export type DiskFiles = readonly [ChainFile, ...ChainFile[]];

/**
 * Groups the files of a chain, which stand in its order, by the disk that they hold; of each disk only the unbroken run
 * that ends with the newest backup: a disk that was absent in between is another one with the same number.
 */
export function byDisk(files: readonly ChainFile[], newest: number): Map<number, DiskFiles> {
  const groups = new Map<number, [ChainFile, ...ChainFile[]]>();
  for (const file of files) {
    const disk = parseDiskFile(file.name);
    if (disk === undefined) continue;
    const group = groups.get(disk.diskId);
    const previous = group?.[group.length - 1]?.link ?? -1;
    if (group !== undefined && file.link - previous <= 1) group.push(file);
    else groups.set(disk.diskId, [file]);
  }
  for (const [diskId, group] of groups) if (group[group.length - 1]?.link !== newest) groups.delete(diskId);
  return groups;
}

/** Whether a file of a backup belongs into a merged one: not its manifest, which is written anew. */
export function isBackupFile(name: string): boolean {
  return name === 'vm.xml' || name.startsWith('disk.');
}

/** The last part of a path. */
export function nameOf(path: AbsolutePath): string {
  return path.slice(path.lastIndexOf('/') + 1);
}
