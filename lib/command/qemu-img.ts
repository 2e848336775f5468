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
