import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { zfsDriver } from '../../lib/engine/zfs/driver';
import { startZfsMachine, type ZfsMachine } from '../helpers/zfs-machine';
import type { Bed } from './bed';
import { type Storage, sshBed } from './ssh-bed';

/** How the login may run zfs: by sudo, or by rights that were delegated. */
export type Rights = 'sudo' | 'allow';

/** A bed of the ZFS engine, on a machine with real OpenZFS that was set up as the README says. */
export async function zfsBed(rights: Rights = 'sudo'): Promise<Bed> {
  const machine = await startZfsMachine();
  await machine.sh('zfs create tank/blank && chown oneadmin: /tank/blank');
  await machine.run('cat >/etc/sudoers.d/backups', { input: `${fromReadme(rights)}\n` });
  await machine.sh('visudo -cf /etc/sudoers.d/backups');
  if (rights === 'allow') await machine.sh(allowed());
  const { port, knownHostsLine } = machine;
  return sshBed({
    driver: zfsDriver,
    attributes: ({ place }) => ({ ZFS_HOST: 'server', ZFS_DATASET: place, ZFS_SUDO: rights === 'sudo' ? 'YES' : 'NO' }),
    storage: () => datasets(machine, rights),
    elsewhere: { server: { port, user: 'oneadmin', knownHostsLine } },
    introduce: (publicKey) =>
      machine.run('cat >>.ssh/authorized_keys', { user: 'oneadmin', input: publicKey }).then(() => {}),
    close: () => machine.stop(),
    pointsStandAlone: true,
  });
}

/** The README's own lines for /etc/sudoers.d, for any dataset below `tank`. */
function fromReadme(rights: Rights): string {
  const found =
    rights === 'sudo'
      ? /^Cmnd_Alias BACKUPS[\s\S]*?^oneadmin .*$/m.exec(readme())?.[0]
      : /echo '(oneadmin .*)' > \/etc\/sudoers/.exec(readme())?.[1];
  return (found ?? '').replaceAll('tank/backups', 'tank/[a-z0-9]+');
}

/** The README's `zfs allow`. */
function allowed(): string {
  return (/^zfs allow .*$/m.exec(readme())?.[0] ?? 'false').replace('tank/backups', 'tank');
}

function readme(): string {
  return readFileSync(join(__dirname, '..', '..', 'README.md'), 'utf8');
}

function datasets(machine: ZfsMachine, rights: Rights): Storage {
  const options = ['-F', 'none', '-i', machine.key, '-p', String(machine.port), '-o', 'LogLevel=ERROR'];
  const trust = ['-o', 'StrictHostKeyChecking=no', '-o', 'UserKnownHostsFile=/dev/null'];
  const run = (command: string): string =>
    execFileSync('ssh', [...options, ...trust, 'root@127.0.0.1', '--', command], { encoding: 'utf8' });
  const lines = (command: string): string[] =>
    run(command)
      .split('\n')
      .filter((line) => line !== '');
  const snapshots = (place: string): string => `zfs list -Ho name -t snapshot -r ${place}`;
  let copies = 0;
  return {
    first: 'tank/blank',
    async copy(from) {
      const to = `tank/copy${rights}${++copies}`;
      await machine.sh(`zfs snapshot -r ${from}@copy && zfs send -R ${from}@copy | zfs recv ${to} &&
        zfs destroy -r ${from}@copy && zfs destroy -r ${to}@copy`);
      return to;
    },
    remove: (place) =>
      void run(
        `${snapshots(place)} | while read -r one; do zfs release -r one-backup $one 2>/dev/null; done; zfs destroy -R ${place}`,
      ),
    stored: (place) => lines(snapshots(place)).flatMap((name) => name.split('@one-backup-')[1] ?? []),
    leftovers: (place) => lines(`cd /${place} && find . -path './*/.incoming/*/.*ing-*' -prune -print`),
  };
}
