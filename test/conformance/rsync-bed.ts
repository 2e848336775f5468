import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { rsyncDriver } from '../../lib/engine/rsync/driver';
import type { Bed } from './bed';
import { inFolders, sshBed } from './ssh-bed';

/** A bed of the rsync engine. */
export function rsyncBed(): Promise<Bed> {
  return sshBed({
    driver: rsyncDriver,
    attributes: ({ user, temporary }) => ({ RSYNC_HOST: 'server', RSYNC_USER: user, RSYNC_TMP_DIR: temporary }),
    storage: inFolders({
      stored: (datastore) => inVmFolders(datastore).filter((name) => !name.startsWith('.')),
      leftovers: (datastore) => inVmFolders(datastore).filter((name) => name.startsWith('.')),
    }),
  });
}

function inVmFolders(datastore: string): string[] {
  return readdirSync(datastore).flatMap((vm) => readdirSync(join(datastore, vm)));
}
