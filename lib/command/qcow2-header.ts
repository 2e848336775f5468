import { DriverError } from '../errors';
import type { AbsolutePath } from '../opennebula/ids';
import type { Command } from './command';
import type { ChainDisk } from './qemu-img';

/** What merging needs to know of a disk's file. */
export interface DiskHeader extends ChainDisk {
  readonly virtualSizeBytes: number;
  /** Its header names a file that it is an increment of. */
  readonly hasBacking: boolean;
}

/** The part of the header that is read (qemu's docs/interop/qcow2.txt): up to the incompatible features. */
const HEADER_BYTES = 80;
const MAGIC = 'QFI\xfb';
const EXTERNAL_DATA = 1n << 2n;

/** For each file a line with its size and the beginning of it in hexadecimal digits: one process for a whole chain. */
const SCRIPT = `for file; do
  [ -f "$file" ] || { echo "there is no $file" >&2; exit 1; }
  printf '%s ' "$(stat -c %s -- "$file")"; head -c ${HEADER_BYTES} -- "$file" | od -An -v -tx1 | tr -d ' \\n'; echo
done`;

/**
 * Reads the headers of disks, without following any file that they name. Throws `damaged` for a qcow2 that keeps its data
 * in another file: a backup never does, and such a reference could name any file of the host.
 */
export function readHeaders(files: readonly AbsolutePath[]): Command<DiskHeader[]> {
  return {
    argv: ['sh', '-c', SCRIPT, 'one-backup-headers', ...files],
    purpose: 'examine the disks',
    dryRun: files.map((path) => ({ path, format: 'qcow2', virtualSizeBytes: 0, hasBacking: false })),
    parse: ({ stdout }) => {
      const lines = stdout.trim().split('\n');
      if (lines.length !== files.length) throw new DriverError('failed', 'the disks could not all be examined');
      return files.map((path, index) => parseHeader(path, lines[index] as string));
    },
  };
}

function parseHeader(path: AbsolutePath, line: string): DiskHeader {
  const [size = '', hex = ''] = line.split(' ');
  const header = Buffer.from(hex, 'hex');
  const isQcow2 = header.length === HEADER_BYTES && header.toString('latin1', 0, 4) === MAGIC;
  if (!isQcow2) return { path, format: 'raw', virtualSizeBytes: Number(size), hasBacking: false };
  const features = header.readUInt32BE(4) >= 3 ? header.readBigUInt64BE(72) : 0n;
  if ((features & EXTERNAL_DATA) !== 0n) {
    throw new DriverError('damaged', `${path} keeps its data in another file, which no backup does`);
  }
  return {
    path,
    format: 'qcow2',
    virtualSizeBytes: Number(header.readBigUInt64BE(24)),
    hasBacking: header.readBigUInt64BE(8) !== 0n,
  };
}
