import type { ZfsMachine } from '../helpers/zfs-machine';
import type { Flipped, Left } from './backups-damage';
import type { BackupsWorld } from './backups-world';

/** Where a pool's data begins on its partition: before it are the labels. */
const LABEL_BYTES = 0x400000;

/**
 * Writes other bytes over a block that a disk of VM 1 has since its third backup, past ZFS, and says which disks have it:
 * those that cannot be read any more.
 */
export function flipBlock({ w, chain }: BackupsWorld, machine: ZfsMachine): Flipped {
  const [, , third] = chain.map(({ source }) => source);
  const dataset = `${w.datastore.slice(1)}/1`;
  const file = (source: string, disk: number): string => `/${dataset}/.zfs/snapshot/one-backup-${source}/disk.${disk}`;
  const ino = machine.shSync(`stat -c %i ${file(third ?? '', 0)}`);
  const blocks = machine.shSync(`zdb -ddddd ${dataset}@one-backup-${third} ${ino} | grep -E '^ +[0-9a-f]+ +L0 0:'`);
  // of the youngest: "30000  L0 0:452200:10000 10000L/10000P F=1 B=12/12 cksum=..."
  const found = [...blocks.matchAll(/L0 0:([0-9a-f]+):([0-9a-f]+) .* B=([0-9]+)\//g)]
    .map(([, offset = '', size = '', born]) => ({ offset, size: Number.parseInt(size, 16), born: Number(born) }))
    .filter(({ size }) => size > 32 * 1024)
    .sort((a, b) => b.born - a.born);
  const sector = (Number.parseInt(found[0]?.offset ?? '', 16) + LABEL_BYTES) / 512 + 8;
  const anew = (how: string): void => void machine.shSync(`zpool export tank && ${how} && sync && zpool import tank`);
  const block = '/dev/vdb1 bs=512 count=1 conv=notrunc status=none';
  anew(
    `dd if=${block.replace(' ', ` skip=${sector} of=/var/tmp/block `)} && dd if=/dev/urandom seek=${sector} of=${block}`,
  );
  const damaged = chain.flatMap(({ source }) =>
    [0, 1].flatMap((disk) => {
      const path = file(source, disk);
      const said = machine.shSync(`! test -e ${path} || cat ${path} 2>&1 >/dev/null || true`);
      return said.includes('Input/output error') ? [{ source, disk }] : [];
    }),
  );
  return {
    damaged,
    mend(): void {
      anew(`dd if=/var/tmp/block seek=${sector} of=${block}`);
      machine.shSync('zpool scrub -w tank && zpool scrub -w tank'); // it forgets an error that two scrubs did not meet
    },
  };
}

/** Leaves broken transfers: dead ones, and one that somebody goes on with. */
export async function leaveFillings(machine: ZfsMachine, datastore: string): Promise<Left> {
  const incoming = `${datastore}/.incoming/1`;
  const left = ['a', 'b'].map((name) => `${incoming}/.receiving-0${name}`);
  const kept = [`${incoming}/.receiving-0d`];
  const holder = machine.shSync(`cd ${datastore} && sudo -u oneadmin mkdir -p ${[...left, ...kept].join(' ')}
    setsid flock --close --shared ${kept[0]} sleep 600 </dev/null >/dev/null 2>&1 & echo $!
    n=0; while flock --nonblock --exclusive ${kept[0]} true; do n=$((n + 1))
      [ $n -lt 600 ] || { echo 'waited in vain: flock holds the folder' >&2; exit 1; }; sleep 0.1; done`);
  return { left, kept, release: () => void machine.shSync(`kill ${holder}; rm -r ${kept[0]}`) };
}
