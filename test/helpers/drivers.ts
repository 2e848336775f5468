import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { quickenKey } from './quick-key';

/** The datastore drivers that the tests of actions and faults are run with. */
export const DRIVERS = ['restic', 'rsync'] as const;
export type DriverName = (typeof DRIVERS)[number];

/** What a datastore of the test's world is made of. */
interface Place {
  /** The login on the backup server. */
  readonly user: string;
  /** Where disks are merged. */
  readonly temporary: string;
  /** For drivers that have one. */
  readonly password: string;
}

/** A file of a stored backup, and where the staging folder was that it came from. */
interface InBackup {
  readonly datastore: string;
  readonly staging: string;
  readonly vmId: number;
  readonly source: string;
  readonly file: string;
}

/** What is a driver's own. Its name is DS_MAD, the folder of its scripts, the scheme of its URLs and its program's name. */
export interface DriverTraits {
  /** The attributes without which its datastore does not work. */
  readonly attributes: (place: Place) => Readonly<Record<string, string>>;
  /** The attributes that name the backup server and the login there, and where disks are merged. */
  readonly named: {
    readonly server: string;
    readonly user: string;
    readonly temporary: string;
    readonly stall: string;
  };
  /** The attribute that slows its transfers, to so many KiB/s. */
  readonly slow: (kib: number) => Readonly<Record<string, string>>;
  /** Its programs, on the host and on the server, and those by which it makes a backup visible or removes it. */
  readonly programs: readonly string[];
  /** What a SOURCE looks like. */
  readonly source: string;
  /** The path of a disk in its URLs. */
  readonly urlPath: (at: InBackup) => string;
  /** The names of the backups in the folder of a VM (or job) on the server, sorted. */
  readonly stored: (folder: string) => string[];
  /** What no finished action leaves in such a folder, nor beside it. */
  readonly leftovers: (folder: string) => string[];
  /** Makes such a folder, if the first backup should find one. */
  readonly init: (folder: string, env: NodeJS.ProcessEnv) => void;
  /** What is wrong with such a folder, every byte of it being read. */
  readonly damage: (folder: string, env: NodeJS.ProcessEnv) => string | undefined;
}

const names = (folder: string): string[] => (existsSync(folder) ? readdirSync(folder).sort() : []);
const allNames = (folder: string): string[] =>
  existsSync(folder) ? readdirSync(folder, { recursive: true, encoding: 'utf8' }) : [];

export const TRAITS: Readonly<Record<DriverName, DriverTraits>> = {
  restic: {
    attributes: ({ user, temporary, password }) => ({
      RESTIC_SFTP_SERVER: 'server',
      RESTIC_SFTP_USER: user,
      RESTIC_PASSWORD: password,
      RESTIC_TMP_DIR: temporary,
    }),
    named: {
      server: 'RESTIC_SFTP_SERVER',
      user: 'RESTIC_SFTP_USER',
      temporary: 'RESTIC_TMP_DIR',
      stall: 'RESTIC_STALL_LIMIT',
    },
    slow: (kib) => ({ RESTIC_BWLIMIT: String(kib) }),
    programs: ['restic'],
    source: '[0-9a-f]{8}',
    urlPath: ({ staging, file }) => join(staging, file),
    stored: (folder) => names(join(folder, 'snapshots')),
    leftovers: (folder) => [
      ...allNames(join(folder, 'locks')).map((name) => `locks/${name}`),
      ...allNames(folder).filter((name) => /-(restic-temp|tmp)-/.test(name) && !name.startsWith('locks/')),
      ...names(join(folder, '..')).filter((name) => name.includes('.new-')),
    ],
    init: (folder, env) => {
      restic(folder, env, 'init');
      quickenKey(folder, env.RESTIC_PASSWORD ?? '');
    },
    damage: (folder, env) => {
      const said = restic(folder, env, 'check', '--read-data');
      return /no errors were found/.test(said) ? undefined : said;
    },
  },
  rsync: {
    attributes: ({ user, temporary }) => ({ RSYNC_HOST: 'server', RSYNC_USER: user, RSYNC_TMP_DIR: temporary }),
    named: { server: 'RSYNC_HOST', user: 'RSYNC_USER', temporary: 'RSYNC_TMP_DIR', stall: 'RSYNC_STALL_LIMIT' },
    slow: (kib) => ({ RSYNC_ARGS: `-aS --bwlimit=${kib}` }),
    programs: ['rsync', 'qemu-img', 'cp', 'mv', 'rm', 'sync'],
    source: '[0-9a-f]{12}',
    urlPath: ({ datastore, vmId, source, file }) => join(datastore, String(vmId), source, file),
    stored: (folder) => names(folder).filter((name) => !name.startsWith('.')),
    leftovers: (folder) => names(folder).filter((name) => name.startsWith('.')),
    init: () => {},
    damage: (folder) =>
      TRAITS.rsync
        .stored(folder)
        .map((name) => notAsListed(join(folder, name)))
        .find(Boolean),
  },
};

function restic(folder: string, env: NodeJS.ProcessEnv, ...args: readonly string[]): string {
  const program = process.env.RESTIC_UNDER_TEST ?? 'restic';
  const { status, stdout, stderr } = spawnSync(program, ['-r', folder, '--no-cache', ...args], {
    env,
    encoding: 'utf8',
  });
  return status === 0 ? stdout : `${args[0]} ended with ${status}: ${stdout}${stderr}`;
}

/** Says which file of a backup is not what its manifest says. */
function notAsListed(backup: string): string | undefined {
  const files = names(backup);
  if (!files.includes('manifest.json')) return `${backup} has no manifest`;
  const { files: listed } = JSON.parse(readFileSync(join(backup, 'manifest.json'), 'utf8')) as {
    files: { name: string; sizeBytes: number; sha256: string }[];
  };
  const wanted = [...listed.map(({ name }) => name), 'manifest.json'].sort();
  if (wanted.join() !== files.join()) return `${backup} holds ${files}, and should hold ${wanted}`;
  for (const { name, sizeBytes, sha256 } of listed) {
    const content = readFileSync(join(backup, name));
    if (content.length !== sizeBytes) return `${backup}/${name} has ${content.length} bytes, not ${sizeBytes}`;
    if (createHash('sha256').update(content).digest('hex') !== sha256) return `${backup}/${name} is not what was sent`;
  }
  return undefined;
}
