import { zfsDriver } from '../../lib/engine/zfs/driver';
import { startZfsMachine, type ZfsMachine } from '../helpers/zfs-machine';
import { allowed, type Rights, sudoersOf } from '../helpers/zfs-rights';
import type { Bed } from './bed';
import { type Storage, sshBed } from './ssh-bed';

/** A bed of the ZFS engine, and the machine that its backups are on. */
export interface ZfsWorld {
  readonly machine: ZfsMachine;
  readonly bed: Bed;
  /** Starts the machine again after a cut of power, and sets it up anew: outside of the pool nothing is kept. */
  powerOn(): Promise<void>;
}

/** A bed of the ZFS engine, on a machine with real OpenZFS that was set up as the README says. */
export async function zfsBed(rights: Rights = 'sudo'): Promise<Bed> {
  return (await zfsWorld(rights)).bed;
}

/** The same with the machine itself. */
export async function zfsWorld(rights: Rights = 'sudo'): Promise<ZfsWorld> {
  const machine = await startZfsMachine();
  await machine.sh('zfs create tank/blank && chown oneadmin: /tank/blank');
  if (rights === 'allow') await machine.sh(allowed());
  let key = '';
  const setUp = async (): Promise<void> => {
    await machine.run('cat >/etc/sudoers.d/backups', { input: sudoersOf(rights) });
    await machine.sh('visudo -cf /etc/sudoers.d/backups');
    await machine.run('cat >>.ssh/authorized_keys', { user: 'oneadmin', input: key });
  };
  const { port, knownHostsLine } = machine;
  const bed = await sshBed({
    driver: zfsDriver,
    attributes: ({ place }) => ({ ZFS_HOST: 'server', ZFS_DATASET: place, ZFS_SUDO: rights === 'sudo' ? 'YES' : 'NO' }),
    storage: () => datasets(machine, rights),
    elsewhere: { server: { port, user: 'oneadmin', knownHostsLine } },
    introduce: (publicKey) => {
      key = publicKey;
      return setUp();
    },
    close: () => machine.stop(),
    pointsStandAlone: true,
  });
  const powerOn = async (): Promise<void> => {
    await machine.powerOn();
    await setUp();
  };
  return { machine, bed, powerOn };
}

function datasets(machine: ZfsMachine, rights: Rights): Storage {
  const lines = (command: string): string[] =>
    machine
      .shSync(command)
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
      void machine.shSync(
        `${snapshots(place)} | while read -r one; do zfs release -r one-backup $one 2>/dev/null; done; zfs destroy -R ${place}`,
      ),
    stored: (place) => lines(snapshots(place)).flatMap((name) => name.split('@one-backup-')[1] ?? []),
    leftovers: (place) =>
      lines(`cd /${place} && find . -path './*/.incoming/*/.*ing-*' -prune -print; for vm in ./*/[0-9]*; do
        [ -n "$(ls -A $vm/.zfs/snapshot 2>/dev/null)" ] || ls -d $vm/disk.* 2>/dev/null || true; done`),
  };
}
