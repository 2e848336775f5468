import { join } from 'node:path';
import { resticStore, rsyncStore, type Store } from './folder-stores';

/** The datastore drivers that the tests of actions and faults are run with. */
export const DRIVERS = ['restic', 'rsync', 'zfs'] as const;
export type DriverName = (typeof DRIVERS)[number];

/** Those whose backup server is this machine: they store in folders. */
export const FOLDER_DRIVERS = ['restic', 'rsync'] as const;

/**
 * Those that a file of tests is run with which needs a backup server: DRIVER_UNDER_TEST names another one. The server of
 * `zfs` is a machine that takes its time, and test/engine-zfs runs such files one after the other on a single one.
 */
export const UNDER_TEST: readonly DriverName[] = DRIVERS.filter((name) =>
  [process.env.DRIVER_UNDER_TEST ?? FOLDER_DRIVERS].flat().includes(name),
);

/** The emulated machine is slow in all that it does: `npm test` leaves some of it to `npm run soak`. */
export function isCutShort(driver: DriverName): boolean {
  return driver === 'zfs' && process.env.SOAK !== '1';
}

/** What a datastore of the test's world is made of. */
interface Place {
  /** The login on the backup server. */
  readonly user: string;
  /** Where disks are merged. */
  readonly temporary: string;
  /** For drivers that have one. */
  readonly password: string;
  /** Below which datasets are, where there are any. */
  readonly dataset: string;
}

/** A file of a stored backup, and where the staging folder was that it came from. */
interface InBackup {
  readonly datastore: string;
  readonly staging: string;
  readonly vmId: number;
  /** The backup's chain up to it. */
  readonly chain: readonly { readonly id: number; readonly source: string }[];
  /** As the transfer driver has named it. */
  readonly file: string;
}

/** What is a driver's own. Its name is DS_MAD, and the folder of its scripts. */
interface DriverFacts {
  /** The attributes without which its datastore does not work. */
  readonly attributes: (place: Place) => Readonly<Record<string, string>>;
  /** The attributes that name the backup server and the login there, and how long a transfer may stand still. */
  readonly named: { readonly server: string; readonly user: string; readonly stall: string };
  /** The attribute that slows its transfers, to so many KiB/s. */
  readonly slow: (kib: number) => Readonly<Record<string, string>>;
  /** Its programs on hosts that are this machine, the one that transfers first. */
  readonly programs: readonly [string, ...string[]];
  /** What a SOURCE looks like. */
  readonly source: string;
  /** What its URLs begin with. One of our own has a downloader of that name; the front-end itself knows `ssh`. */
  readonly scheme: string;
  readonly url: (at: InBackup) => string;
}

/** What tests have to know of a driver, and what it has stored. */
export interface DriverTraits extends DriverFacts, Store {}

export const TRAITS: Readonly<Record<DriverName, DriverFacts>> = {
  restic: {
    attributes: ({ user, temporary, password }) => ({
      RESTIC_SFTP_SERVER: 'server',
      RESTIC_SFTP_USER: user,
      RESTIC_PASSWORD: password,
      RESTIC_TMP_DIR: temporary,
    }),
    named: { server: 'RESTIC_SFTP_SERVER', user: 'RESTIC_SFTP_USER', stall: 'RESTIC_STALL_LIMIT' },
    slow: (kib) => ({ RESTIC_BWLIMIT: String(kib) }),
    programs: ['restic'],
    source: '[0-9a-f]{8}',
    scheme: 'restic',
    url: (at) => `restic://100//${listed(at)}${join(at.staging, at.file)}`,
  },
  rsync: {
    attributes: ({ user, temporary }) => ({ RSYNC_HOST: 'server', RSYNC_USER: user, RSYNC_TMP_DIR: temporary }),
    named: { server: 'RSYNC_HOST', user: 'RSYNC_USER', stall: 'RSYNC_STALL_LIMIT' },
    slow: (kib) => ({ RSYNC_ARGS: `-aS --bwlimit=${kib}` }),
    // Also those by which it makes a backup visible or removes it.
    programs: ['rsync', 'qemu-img', 'cp', 'mv', 'rm', 'sync'],
    source: '[0-9a-f]{12}',
    scheme: 'rsync',
    url: (at) => `rsync://100//${listed(at)}${join(at.datastore, String(at.vmId), lastOf(at), at.file)}`,
  },
  zfs: {
    attributes: ({ user, dataset }) => ({ ZFS_HOST: 'server', ZFS_USER: user, ZFS_DATASET: dataset, ZFS_SUDO: 'YES' }),
    named: { server: 'ZFS_HOST', user: 'ZFS_USER', stall: 'ZFS_STALL_LIMIT' },
    slow: (kib) => ({ ZFS_BWLIMIT: String(kib) }),
    programs: ['rsync'],
    source: '[0-9a-f]{12}',
    scheme: 'ssh',
    url: (at) => {
      const snapshot = join(at.datastore, String(at.vmId), '.zfs', 'snapshot', `one-backup-${lastOf(at)}`);
      return `ssh://oneadmin@server:${snapshot}/${at.file.replace(/^(disk\.\d+)\.\d+$/, '$1')}`;
    },
  },
};

/** What the drivers have stored whose backup server is this machine. */
export const FOLDER_STORES: Readonly<Record<string, Store>> = { restic: resticStore, rsync: rsyncStore };

function listed({ chain }: InBackup): string {
  return chain.map(({ id, source }) => `${id}:${source}`).join(',');
}

function lastOf({ chain }: InBackup): string {
  return chain.at(-1)?.source ?? '';
}
