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

/** The sizes of the files, a line each, then the beginnings of all in hexadecimal digits: few processes for a long chain. */
const SCRIPT = `stat -L -c %s -- "$@" && head -q -c ${HEADER_BYTES} -- "$@" | od -An -v -tx1`;

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
      const lines = stdout.split('\n');
      const sizes = lines.slice(0, files.length).map(Number);
      let rest = Buffer.from(lines.slice(files.length).join('').replace(/ /g, ''), 'hex');
      return files.map((path, index) => {
        const sizeBytes = sizes[index] as number;
        const header = rest.subarray(0, Math.min(HEADER_BYTES, sizeBytes));
        rest = rest.subarray(header.length);
        if (header.length < Math.min(HEADER_BYTES, sizeBytes))
          throw new DriverError('failed', `${path} cannot be read`);
        return parseHeader(path, sizeBytes, header);
      });
    },
  };
}

/** Whether the beginning of a disk's file says that it is an increment. */
export function isIncrement(head: Buffer): boolean {
  return head.toString('latin1', 0, 4) === MAGIC && head.length >= 16 && head.readBigUInt64BE(8) !== 0n;
}

function parseHeader(path: AbsolutePath, sizeBytes: number, header: Buffer): DiskHeader {
  const isQcow2 = header.length === HEADER_BYTES && header.toString('latin1', 0, 4) === MAGIC;
  if (!isQcow2) return { path, format: 'raw', virtualSizeBytes: sizeBytes, hasBacking: false };
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
