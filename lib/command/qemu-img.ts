import { DriverError } from '../errors';
import type { AbsolutePath } from '../opennebula/ids';
import { type Command, nothing, type Outcome } from './command';

/** What `qemu-img info` says of a disk, as far as merging needs it. */
export interface DiskInfo {
  readonly format: 'qcow2' | 'raw';
  readonly virtualSizeBytes: number;
}

/**
 * Looks at a disk without following its backing file. Throws `damaged` for a qcow2 that keeps its data in another file:
 * a backup never does, and such a reference could name any file of the host.
 */
export function info(file: AbsolutePath): Command<DiskInfo> {
  return {
    argv: ['qemu-img', 'info', '--output=json', '--', file],
    purpose: `examine ${nameOf(file)}`,
    parse: (outcome) => parseInfo(outcome, file),
    dryRun: { format: 'qcow2', virtualSizeBytes: 0 },
  };
}

/** Writes into the header of a qcow2 what it is an increment of, and nothing else; `undefined`: of nothing. */
export function setBacking(
  file: AbsolutePath,
  backing: AbsolutePath | undefined,
  backingFormat: string,
): Command<undefined> {
  const of = backing === undefined ? ['-b', ''] : ['-F', backingFormat, '-b', backing];
  return {
    argv: ['qemu-img', 'rebase', '-u', '-f', 'qcow2', ...of, '--', file],
    purpose: `chain ${nameOf(file)}`,
    parse: nothing,
    dryRun: undefined,
  };
}

/** Writes all increments of a chain, from `top` down, into its base, which grows when the disk did. */
export function commit(top: AbsolutePath, base: AbsolutePath): Command<undefined> {
  return {
    argv: ['qemu-img', 'commit', '-q', '-f', 'qcow2', '-b', base, '--', top],
    purpose: `merge ${nameOf(top)}`,
    parse: nothing,
    dryRun: undefined,
  };
}

/** A disk of a chain: of which format its file is, not what its header says of the file below it. */
export interface ChainDisk {
  readonly path: AbsolutePath;
  readonly format: 'qcow2' | 'raw';
}

/**
 * Names a chain to qemu, the full backup first, without regard to what the headers say of backing files: those are
 * meaningless (contract, backup), and need not be changed (qemu(1), "json:" pseudo-protocol; qemu's block options).
 */
export function chainOf([base, ...increments]: readonly [ChainDisk, ...ChainDisk[]]): string {
  const node = ({ path, format }: ChainDisk) => ({ driver: format, file: { driver: 'file', filename: path } });
  const bottom: object = base.format === 'qcow2' ? { ...node(base), backing: null } : node(base);
  return `json:${JSON.stringify(increments.reduce((backing, disk) => ({ ...node(disk), backing }), bottom))}`;
}

/** Writes what a chain shows as a disk of its own. Each line of the output says how far it is. */
export function convert(
  chain: string,
  target: AbsolutePath,
  format: ChainDisk['format'] = 'qcow2',
): Command<undefined> {
  return {
    argv: ['qemu-img', 'convert', '-p', '-O', format, '--', chain, target],
    purpose: 'merge the chain',
    parse: nothing,
    dryRun: undefined,
  };
}

/** Writes what a chain shows over a qcow2 that is there, of the same size: in place, cluster by cluster. */
export function convertOver(chain: string, target: AbsolutePath): Command<undefined> {
  return {
    argv: ['qemu-img', 'convert', '-n', '-O', 'qcow2', '--', chain, target],
    purpose: `write over ${nameOf(target)}`,
    parse: nothing,
    dryRun: undefined,
  };
}

/** Makes a qcow2 larger, or smaller: what lay in clusters behind its new end is gone, also when it grows again. */
export function resize(file: AbsolutePath, sizeBytes: number, how: 'larger' | 'smaller'): Command<undefined> {
  const shrink = how === 'smaller' ? ['--shrink'] : [];
  return {
    argv: ['qemu-img', 'resize', '-q', '-f', 'qcow2', ...shrink, '--', file, String(sizeBytes)],
    purpose: `make ${nameOf(file)} ${how}`,
    parse: nothing,
    dryRun: undefined,
  };
}

/**
 * Writes zeros from where a qcow2 is to end to the end of that cluster: a resize keeps the cluster, and what it holds
 * would show when the disk grows again. Undefined where the new end is that of a cluster.
 */
export function zeroTail(file: AbsolutePath, sizeBytes: number, oldBytes: number): Command<undefined> | undefined {
  const clusterBytes = 64 * 1024; // as `qemu-img convert` makes them
  const rest = Math.min((clusterBytes - (sizeBytes % clusterBytes)) % clusterBytes, oldBytes - sizeBytes);
  if (rest === 0) return undefined;
  return {
    argv: ['qemu-io', '-f', 'qcow2', '-c', `write -z ${sizeBytes} ${rest}`, '--', file],
    purpose: `clear what lies behind the new end of ${nameOf(file)}`,
    parse: nothing,
    dryRun: undefined,
  };
}

/** How much of a conversion is done, from 0 to 1, in a piece of its output: `    (12.34/100%)`. */
export function convertedShare(line: string): number | undefined {
  const found = /\(([0-9.]+)\/100%\)/.exec(line);
  return found === null ? undefined : Number(found[1]) / 100;
}

/** Makes an empty qcow2. */
export function create(file: AbsolutePath, sizeBytes: number): Command<undefined> {
  return {
    argv: ['qemu-img', 'create', '-q', '-f', 'qcow2', '--', file, String(sizeBytes)],
    purpose: `make ${nameOf(file)}`,
    parse: nothing,
    dryRun: undefined,
  };
}

/** Writes all that stands above `base` in a chain into it. Only its top, which must be empty, is opened for writing beside it. */
export function commitChain(chain: string, base: AbsolutePath): Command<undefined> {
  return {
    argv: ['qemu-img', 'commit', '-q', '-b', base, '--', chain],
    purpose: `merge the chain into ${nameOf(base)}`,
    parse: nothing,
    dryRun: undefined,
  };
}

/** Compares what two disks show (qemu-img(1), "compare"): throws `damaged` when they differ. */
export function compare(chain: string, { path, format }: ChainDisk): Command<undefined> {
  return {
    argv: ['qemu-img', 'compare', '-q', '-F', format, '--', chain, path],
    purpose: `compare ${nameOf(path)} with its chain`,
    parse: nothing,
    dryRun: undefined,
    classify: ({ exitCode }, host) =>
      exitCode === 1
        ? new DriverError('damaged', `${nameOf(path)} is not what its chain shows`, {
            host,
            hint: 'Nothing was changed; check the storage of this host, then try again',
          })
        : undefined,
  };
}

/** Checks the consistency of a qcow2: exit code 3 (leaked clusters) is no damage (qemu-img(1), "check"). */
export function check(file: AbsolutePath): Command<undefined> {
  return {
    argv: ['qemu-img', 'check', '-q', '-f', 'qcow2', '--', file],
    purpose: `check ${nameOf(file)}`,
    parse: nothing,
    dryRun: undefined,
    accept: [3],
    classify: ({ exitCode, stderr }, host) =>
      exitCode === 2 ? new DriverError('damaged', `${nameOf(file)} is damaged: ${stderr.trim()}`, { host }) : undefined,
  };
}

/** Checks a qcow2 as it is, without the file that its header names as the one below it. Throws `damaged`. */
export function checkAlone(file: AbsolutePath): Command<undefined> {
  return {
    ...check(file),
    argv: ['qemu-img', 'check', '-q', '--', chainOf([{ path: file, format: 'qcow2' }])],
    classify: ({ exitCode, stderr }, host) =>
      exitCode === 2 || /not in qcow2 format|Could not open.*(corrupt|Invalid|Image)/.test(stderr)
        ? new DriverError('damaged', `${nameOf(file)} is damaged: ${stderr.trim().split('\n').at(-1)}`, { host })
        : undefined,
  };
}

function parseInfo({ stdout }: Outcome, file: AbsolutePath): DiskInfo {
  const found = JSON.parse(stdout) as Record<string, unknown> & {
    'format-specific'?: { data?: Record<string, unknown> };
  };
  const { format, 'virtual-size': virtualSizeBytes } = found;
  if ((format !== 'qcow2' && format !== 'raw') || typeof virtualSizeBytes !== 'number') {
    throw new DriverError('damaged', `${nameOf(file)} is neither a qcow2 nor a raw disk but ${String(format)}`);
  }
  if (found['format-specific']?.data?.['data-file'] !== undefined) {
    throw new DriverError('damaged', `${nameOf(file)} keeps its data in another file, which no backup does`);
  }
  return { format, virtualSizeBytes };
}

function nameOf(file: string): string {
  return file.slice(file.lastIndexOf('/') + 1);
}
