import { DriverError } from '../../errors';
import { type BackupUrl, parseDiskFile, TPM_FILE } from '../../opennebula/backup-url';
import {
  type AbsolutePath,
  type HostName,
  type IncrementId,
  parseAbsolutePath,
  type UserName,
} from '../../opennebula/ids';
import { parseSource } from '../../opennebula/increment';

/** What the path of a disk in a backup says. */
export interface ZfsPath {
  readonly vmId: string;
  readonly source: string;
  readonly file: string;
}

/** Reads `<mountpoint>/<datastore>/<VM>/.zfs/snapshot/one-backup-<SOURCE>/<file>`. Throws `message`. */
export function zfsPath(path: AbsolutePath): ZfsPath {
  const [, vmId, source, file] = /\/([0-9]+)\/\.zfs\/snapshot\/one-backup-([A-Za-z0-9]+)\/([^/]+)$/.exec(path) ?? [];
  if (vmId !== undefined && source !== undefined && file !== undefined) return { vmId, source, file };
  throw bad('has no /<VM ID>/.zfs/snapshot/one-backup-<SOURCE>/<DISK> in it');
}

/** Returns the URL by which the front-end's downloader reads a file of the backup server (contract, "Backup URLs"). Throws `config`. */
export function formatZfsUrl(user: UserName, server: HostName, path: AbsolutePath): string {
  if (/^[A-Za-z0-9_./:=@%+,-]+$/.test(path)) return `ssh://${user}@${server}:${path}`;
  throw new DriverError('config', `the path ${path} cannot stand in a backup URL`, {
    host: server,
    hint: 'Give ZFS_DATASET a mountpoint without blanks and special characters',
  });
}

/** Parses a backup URL. Throws `message`. The number of the increment is not in it, nor the job. */
export function parseZfsUrl(text: string): BackupUrl {
  if (text.length > 8192) throw bad('is too long');
  const [, scheme = 'ssh'] = /^([a-z]+)(?:\+rbd)?:\/\//.exec(text) ?? [];
  if (scheme !== 'ssh') throw bad(`begins with ${scheme}://, which belongs to another driver`);
  const [, path] = /^ssh:\/\/[^@/\s]+@[^/\s]+?:(\/.*)$/.exec(text) ?? [];
  if (path === undefined) throw bad('is not of the form ssh://USER@HOST:PATH');
  const absolute = parseAbsolutePath(path, 'the path of the backup URL');
  const { source, file } = zfsPath(absolute);
  const disk = file === TPM_FILE ? 'tpm' : parseDiskFile(file)?.diskId;
  if (disk === undefined) throw bad('does not end in the name of a disk (disk.<DISK>)');
  return {
    ...{ scheme: 'ssh', format: 'raw', datastoreId: undefined, jobId: undefined, path: absolute, disk },
    chain: [{ id: 0 as IncrementId, source: parseSource(source, 'the source in the backup URL') }],
  };
}

function bad(what: string): DriverError {
  return new DriverError('message', `the backup URL ${what}`, { hint: 'Take the URL that zfs/ls prints' });
}
