import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { resticDriver } from '../../lib/engine/restic/driver';
import { quickenKey } from '../helpers/quick-key';
import type { Bed } from './bed';
import { inFolders, sshBed } from './ssh-bed';

const PASSWORD = `it's "a" $secret \`pass\` & <word> \\ % #!`;

/** A bed of the restic engine: with the restic of the machine, or another one. */
export function resticBed(program?: string): Promise<Bed> {
  return sshBed({
    driver: resticDriver,
    programs: program === undefined ? {} : { restic: program },
    attributes: ({ user, temporary }) => ({
      RESTIC_SFTP_SERVER: 'server',
      RESTIC_SFTP_USER: user,
      RESTIC_PASSWORD: PASSWORD,
      RESTIC_TMP_DIR: temporary,
    }),
    storage: inFolders(
      {
        stored: (datastore) => repositories(datastore).flatMap((path) => readdirSync(join(path, 'snapshots'))),
        leftovers: (datastore) => [
          ...readdirSync(datastore).filter((name) => name.includes('.new-')),
          ...repositories(datastore).flatMap((path) => readdirSync(join(path, 'locks'))),
          ...readdirSync(datastore, { recursive: true, encoding: 'utf8' }).filter((path) =>
            path.includes('-restic-temp-'),
          ),
        ],
      },
      (datastore) => {
        for (const path of repositories(datastore)) quickenKey(path, PASSWORD);
      },
    ),
  });
}

function repositories(datastore: string): string[] {
  if (!existsSync(datastore)) return [];
  const paths = readdirSync(datastore).map((name) => join(datastore, name));
  return paths.filter((path) => existsSync(join(path, 'config')));
}
