import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type FrontEndWorld, startFrontEnd } from '../helpers/front-end';
import type { ZfsMachine } from '../helpers/zfs-machine';

/** The emulated machine with OpenZFS, and a front-end for each of the two drivers that back up to it. */
export interface ZfsServers {
  readonly zfs: FrontEndWorld;
  readonly rsync: FrontEndWorld;
  readonly machine: ZfsMachine;
}

/**
 * Starts them. Beside the backups there are `tank/plain`, with the settings of the pool, and `tank/same`, with those that
 * datasets of backups have.
 */
export async function startZfsServers(): Promise<ZfsServers> {
  delete process.env.NODE_EXTRA_CA_CERTS; // a front-end has none
  const zfs = await startFrontEnd({ driver: 'zfs', usualKeyExchange: true });
  const machine = zfs.machine as ZfsMachine;
  const { port, knownHostsLine } = machine;
  const rsync = await startFrontEnd({
    driver: 'rsync',
    usualKeyExchange: true,
    names: ['host1'],
    elsewhere: { server: { port, user: 'oneadmin', knownHostsLine } },
    attributes: { RSYNC_USER: 'oneadmin', RSYNC_TMP_DIR: '/tank/plain' },
  });
  await machine.run('cat >>~oneadmin/.ssh/authorized_keys', { input: readFileSync(`${rsync.ssh.key}.pub`, 'utf8') });
  const datastores = join(rsync.datastore, '..');
  await machine.sh(`set -e; zfs create tank/plain; zfs create -o mountpoint=${datastores} tank/rsync
    zfs create -o recordsize=64K -o checksum=sha256 -o compression=lz4 tank/same
    chown oneadmin: /tank/plain ${datastores}`);
  return { zfs, rsync, machine };
}
