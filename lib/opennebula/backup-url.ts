import { DriverError } from '../errors';
import {
  type AbsolutePath,
  type DatastoreId,
  type DiskId,
  type JobId,
  joinPath,
  parseAbsolutePath,
  parseDatastoreId,
  parseDiskId,
  parseIncrementId,
  parseJobId,
} from './ids';
import type { BackupFormat } from './image';
import { type Chain, formatChain, parseChain } from './increment';

/** One disk at one point in time (contract, "Backup URLs"). */
export interface BackupUrl {
  /** `restic` and `rsync` have their own, ZFS has `ssh`. */
  readonly scheme: string;
  readonly format: BackupFormat;
  /** Undefined where a URL does not say it. */
  readonly datastoreId: DatastoreId | undefined;
  readonly jobId: JobId | undefined;
  /** The chain up to the point in time. */
  readonly chain: Chain;
  /** The file's path in the last backup of the chain. */
  readonly path: AbsolutePath;
  /** Which disk it is, or the state of the virtual TPM. */
  readonly disk: DiskId | 'tpm';
}

/** The file that holds the state of a VM's virtual TPM. */
export const TPM_FILE = 'disk.tpm.0';

const LENGTH_LIMIT = 64 * 1024;

/** Parses a backup URL of that scheme. Throws `message`, naming what is wrong. */
export function parseBackupUrl(text: string, scheme: string): BackupUrl {
  if (text.length > LENGTH_LIMIT) throw bad('is too long', scheme);
  const parts = /^([a-z]+)(\+rbd)?:\/\/([^/]*)\/([^/]*)\/([^/]*)(\/.*)$/.exec(text);
  if (parts === null) throw bad(`is not of the form ${scheme}://DATASTORE/JOB/CHAIN/PATH`, scheme);
  const [, found, rbd, datastore, job, chain, path] = parts as unknown as string[];
  if (found !== scheme) throw bad(`begins with ${found}://, which belongs to another driver`, scheme);
  const absolute = parseAbsolutePath(path as string, 'the path of the backup URL');
  const name = absolute.slice(absolute.lastIndexOf('/') + 1);
  const disk = name === TPM_FILE ? 'tpm' : parseDiskFile(name)?.diskId;
  if (disk === undefined) throw bad('does not end in the name of a disk (disk.<DISK>.<INCREMENT>)', scheme);
  return {
    scheme,
    format: rbd === undefined ? 'raw' : 'rbd',
    datastoreId: parseDatastoreId(datastore as string, 'the datastore of the backup URL'),
    jobId: parseJobId(job as string, 'the job of the backup URL'),
    chain: parseChain(chain as string, 'the backup URL'),
    path: absolute,
    disk,
  };
}

/** Returns the URL as text. */
export function formatBackupUrl(url: Omit<BackupUrl, 'disk'>): string {
  const suffix = url.format === 'rbd' ? '+rbd' : '';
  return `${url.scheme}${suffix}://${url.datastoreId}/${url.jobId ?? ''}/${formatChain(url.chain)}${url.path}`;
}

/** A file of a backup that holds a disk. */
export interface DiskFile {
  readonly diskId: DiskId;
  readonly format: BackupFormat;
}

/**
 * Recognises the files of disks: `disk.<D>.<I>` and, from before increments, `disk.<D>`;
 * of Ceph `disk.<D>.rbd2` and `disk.<D>.<I>.rbdiff`. Anything else (vm.xml, disk.tpm.0) is undefined.
 */
export function parseDiskFile(name: string): DiskFile | undefined {
  const match = /^disk\.([0-9]{1,9})(?:\.[0-9]{1,9})?(?:\.(rbd2|rbdiff))?$/.exec(name);
  if (match === null) return undefined;
  return { diskId: parseDiskId(match[1] as string, 'a disk file'), format: match[2] === undefined ? 'raw' : 'rbd' };
}

/** The file beside a disk, in the same backup. */
export function siblingOf(path: AbsolutePath, name: string): AbsolutePath {
  return joinPath(parseAbsolutePath(path.slice(0, path.lastIndexOf('/')) || '/', 'a folder'), name);
}

/** The number of the increment that a disk file's name carries, if it carries one. */
export function incrementOfDiskFile(name: string): number | undefined {
  const match = /^disk\.[0-9]+\.([0-9]+)(\.rbdiff)?$/.exec(name);
  return match === null ? undefined : parseIncrementId(match[1] as string, 'a disk file');
}

function bad(what: string, scheme: string): DriverError {
  return new DriverError('message', `the backup URL ${what}`, { hint: `Take the URL that ${scheme}/ls prints` });
}
