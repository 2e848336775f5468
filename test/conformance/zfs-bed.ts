import { execFileSync } from 'node:child_process';
import { zfsDriver } from '../../lib/engine/zfs/driver';
import { startZfsMachine, type ZfsMachine } from '../helpers/zfs-machine';
import type { Bed } from './bed';
import { type Storage, sshBed } from './ssh-bed';

/** What the admin of a backup server sets up once: the right to run zfs, and a dataset that belongs to the login. */
const SET_UP = `echo 'oneadmin ALL=(root) NOPASSWD: /usr/sbin/zfs' >/etc/sudoers.d/backup
zfs create tank/blank && chown oneadmin: /tank/blank`;

/** A bed of the ZFS engine, on a machine with real OpenZFS. */
export async function zfsBed(): Promise<Bed> {
  const machine = await startZfsMachine();
  await machine.sh(SET_UP);
  const { port, knownHostsLine } = machine;
  return sshBed({
    driver: zfsDriver,
    attributes: ({ place }) => ({ ZFS_HOST: 'server', ZFS_DATASET: place, ZFS_SUDO: 'YES' }),
    storage: () => datasets(machine),
    elsewhere: { server: { port, user: 'oneadmin', knownHostsLine } },
    introduce: (publicKey) =>
      machine.run('cat >>.ssh/authorized_keys', { user: 'oneadmin', input: publicKey }).then(() => {}),
    close: () => machine.stop(),
    pointsStandAlone: true,
  });
}

function datasets(machine: ZfsMachine): Storage {
  const options = ['-F', 'none', '-i', machine.key, '-p', String(machine.port), '-o', 'LogLevel=ERROR'];
  const trust = ['-o', 'StrictHostKeyChecking=no', '-o', 'UserKnownHostsFile=/dev/null'];
  const run = (command: string): string =>
    execFileSync('ssh', [...options, ...trust, 'root@127.0.0.1', '--', command], { encoding: 'utf8' });
  const lines = (command: string): string[] =>
    run(command)
      .split('\n')
      .filter((line) => line !== '');
  let copies = 0;
  return {
    first: 'tank/blank',
    async copy(from) {
      const to = `tank/copy${++copies}`;
      await machine.sh(`zfs snapshot -r ${from}@copy && zfs send -R ${from}@copy | zfs recv ${to} &&
        zfs destroy -r ${from}@copy && zfs destroy -r ${to}@copy`);
      return to;
    },
    remove: (place) =>
      void run(
        `zfs list -Ho name -t snapshot -r ${place} | while read -r one; do zfs release -r one-backup $one 2>/dev/null; done; zfs destroy -R ${place}`,
      ),
    stored: (place) =>
      lines(`zfs list -Ho name -t snapshot -r ${place}`).flatMap((name) => name.split('@one-backup-')[1] ?? []),
    leftovers: (place) => lines(`cd /${place} && find . -path './*/.incoming/*/.*ing-*' -prune -print`),
  };
}
