import type { AbsolutePath } from '../opennebula/ids';
import { type Command, nothing } from './command';

/** Gives up the blocks that the disk's filesystems do not use (virt-sparsify(1), "--in-place"). */
export function sparsify(file: AbsolutePath): Command<undefined> {
  return {
    argv: ['virt-sparsify', '--quiet', '--in-place', '--', file],
    purpose: `make ${file.slice(file.lastIndexOf('/') + 1)} sparse`,
    parse: nothing,
    dryRun: undefined,
  };
}
