import type { AbsolutePath } from '../opennebula/ids';
import { type Command, nothing } from './command';
import type { ChainDisk } from './qemu-img';

/**
 * Makes an empty qcow2 that shows a disk, which need not be changed for it: an increment of what `below`, made by this too,
 * shows. A header has room for a name of 1023 bytes only: so a chain gets one of these for each of its disks.
 */
export function createAbove(file: AbsolutePath, disk: ChainDisk, below: AbsolutePath | undefined): Command<undefined> {
  const bottom = disk.format === 'qcow2' ? { backing: null } : {};
  const backing = { backing: { driver: 'qcow2', file: { driver: 'file', filename: below } } };
  const { format, path } = disk;
  const shown = {
    driver: format,
    file: { driver: 'file', filename: path },
    ...(below === undefined ? bottom : backing),
  };
  const of = ['-F', format, '-b', `json:${JSON.stringify(shown)}`];
  return {
    argv: ['qemu-img', 'create', '-q', '-f', 'qcow2', ...of, '--', file],
    purpose: `open ${path}`,
    parse: nothing,
    dryRun: undefined,
  };
}
