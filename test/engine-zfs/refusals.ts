import type { Test } from 'tap';
import { DriverError } from '../../lib/errors';
import type { VmId } from '../../lib/opennebula/ids';
import { extend, imageOf, type Kept, lastPoint, lay, refused, samePoint } from '../conformance/scene';
import type { Story } from '../conformance/story';
import type { ZfsWorld } from '../conformance/zfs-bed';
import { layLarge } from './strikes';

const VM = 3 as VmId;
const OTHER_VM = 4 as VmId;
const NEW_VM = 5 as VmId;
const MIB = 2 ** 20;
const none = (vmId: VmId): Kept => ({ vmId, jobId: undefined, chain: [], stages: [] });

/** Something that a backup, or a look, needs. */
interface Need {
  readonly what: string;
  /** Takes it away, and gives it back. */
  readonly take?: string;
  readonly give?: string;
  readonly attributes?: Readonly<Record<string, string>>;
  readonly act: 'space' | 'first backup' | 'files';
  readonly says: RegExp;
}

const NEEDS: readonly Need[] = [
  {
    what: 'the pool',
    attributes: { ZFS_DATASET: 'nopool/backups' },
    act: 'first backup',
    says: /^there is no pool nopool \(on server\)\. Import it there as root: zpool import nopool\.$/,
  },
  {
    what: 'the pool, seen by monitor',
    attributes: { ZFS_DATASET: 'nopool/backups' },
    act: 'space',
    says: /^cannot look at the dataset nopool\/backups: .*does not exist \(on server\)\. .*zpool import/,
  },
  {
    what: 'the dataset',
    attributes: { ZFS_DATASET: 'tank/nowhere' },
    act: 'first backup',
    says: /^there is no dataset tank\/nowhere \(on server\)\. Run there as root: zfs create tank\/nowhere/,
  },
  {
    what: 'the folder of the dataset',
    take: 'zfs create tank/roots',
    give: 'zfs destroy tank/roots',
    attributes: { ZFS_DATASET: 'tank/roots' },
    act: 'first backup',
    says: /\/tank\/roots does not belong to oneadmin \(on server\)\. Run there as root: chown oneadmin: \/tank\/roots/,
  },
  {
    what: 'zfs',
    take: 'mv /usr/sbin/zfs /usr/sbin/away',
    give: 'mv /usr/sbin/away /usr/sbin/zfs',
    act: 'space',
    says: /there is no zfs \(on server\)\. .*apt install zfsutils-linux/,
  },
  {
    what: 'sudo',
    take: 'mv /usr/bin/sudo /usr/bin/away',
    give: 'mv /usr/bin/away /usr/bin/sudo',
    act: 'first backup',
    says: /cannot create the dataset tank\/blank\/100\/5: there is no sudo \(on server\)\. .*apt install sudo/,
  },
  {
    what: 'the right by sudo',
    take: 'mv /etc/sudoers.d/backups /var/tmp/',
    give: 'mv /var/tmp/backups /etc/sudoers.d/',
    act: 'first backup',
    says: /cannot create the dataset tank\/blank\/100\/5: sudo refuses zfs: .*echo 'oneadmin ALL=\(root\) NOPASSWD: \/usr\/sbin\/zfs' >>\/etc\/sudoers\.d\/backups/,
  },
  {
    what: 'the right by zfs allow',
    attributes: { ZFS_SUDO: 'NO' },
    act: 'first backup',
    says: /cannot create .*permission denied \(on server\)\. Run there as root: zfs allow oneadmin create,clone,mount,\S+ tank\/blank/,
  },
  {
    what: 'the mount',
    take: `zfs set canmount=off tank/blank/100/${VM}`,
    give: `zfs set canmount=on tank/blank/100/${VM} && zfs mount tank/blank/100/${VM}`,
    act: 'files',
    says: /property is set to 'off' \(on server\)\. .*zfs set canmount=on/,
  },
];

/** What the server refuses: it is said in one line, and nothing is changed. */
export async function testRefusals(t: Test, { machine, bed }: ZfsWorld, story: Story): Promise<void> {
  const [first, second] = story.neighbour;
  let kept = await extend(bed, bed.open(), none(VM), first);

  for (const { what, take = 'true', give = 'true', attributes = {}, act, says } of NEEDS)
    await t.test(`without ${what}`, async (t) => {
      const before = bed.stored();
      await machine.sh(take);
      const engine = bed.open({ attributes });
      const acts = {
        space: () => engine.space(),
        files: () => engine.files(lastPoint(kept)),
        'first backup': async () => engine.backup(await lay(bed, none(NEW_VM), first)),
      };
      const failure = await acts[act]().then(
        () => undefined,
        (error: unknown) => error,
      );
      await machine.sh(give);
      t.type(failure, DriverError);
      t.match((failure as Error | undefined)?.message, says);
      t.strictSame(bed.stored(), before);
    });

  await t.test('a dataset that is read-only', async (t) => {
    await machine.sh('zfs set readonly=on tank/blank/100');
    const failure = await extend(bed, bed.open(), kept, second).then(
      () => undefined,
      (error: Error) => error,
    );
    t.match(failure?.message, /read-only.*zfs set readonly=off/);
    await samePoint(t, bed, kept, first, story);
    await machine.sh('zfs set readonly=off tank/blank/100');
    kept = await extend(bed, bed.open(), kept, second);
    await samePoint(t, bed, kept, second, story);
  });

  await t.test('a pool that is full, and a quota that is reached', async (t) => {
    const engine = bed.open();
    const before = bed.stored();
    // Where little is left, ZFS waits for the disk at every write, for it might need 24 times the space (zfs(4)).
    const inflation = '/sys/module/zfs/parameters/spa_asize_inflation';
    await machine.sh(`echo 1 >${inflation}`);
    const available = Number(await machine.sh('zfs get -Hpo value available tank/blank'));
    await machine.sh(`zfs create -o reservation=${available - 24 * MIB} tank/filler`);
    const large = await layLarge(bed, none(OTHER_VM), story, 32);
    await refused(t, engine.backup(large.source), 'noSpace', 'a backup that does not fit');
    t.strictSame(bed.stored(), before);
    t.strictSame(bed.leftovers(), [], 'it takes no space');
    await engine.flatten(imageOf(kept), 1);
    kept = { ...kept, chain: kept.chain.slice(1), stages: [second] };
    await samePoint(t, bed, kept, second, story);
    await machine.sh('zfs destroy tank/filler');

    const used = Number(await machine.sh('zpool sync && zfs get -Hpo value used tank/blank/100'));
    const limited = bed.open({ attributes: { ZFS_QUOTA: `${Math.ceil(used / MIB) + 24}M` } });
    const smaller = await layLarge(bed, none(OTHER_VM), story, 16);
    await refused(t, limited.backup(smaller.source), 'noSpace', 'one that can be received, but not applied');
    t.ok((await limited.space()).freeBytes < 25 * MIB, 'no more is free than the quota leaves');
    t.strictSame(bed.leftovers(), [], 'nor does what was applied of it');
    await machine.sh(`echo 24 >${inflation}`);
    const abort = new AbortController();
    const late = bed.open({ signal: abort.signal, attributes: { ZFS_QUOTA: 'none' } });
    const other = await extend(bed, late, none(OTHER_VM), first);
    await samePoint(t, bed, other, first, story);
    abort.abort(new DriverError('cancelled', 'cancelled by the test'));
    await late.discard(OTHER_VM, undefined, other.chain[0]?.source ?? '');
    t.equal(bed.stored().length, 1, 'a backup is taken back, also when the action was cancelled meanwhile');
    t.strictSame(bed.leftovers(), [], 'and no disk of it stays');
  });

  await t.test('a backup that somebody reads, or holds', async (t) => {
    const other = await extend(bed, bed.open(), none(VM), first);
    kept = { ...kept, chain: [...kept.chain, ...other.chain] };
    const [source = '', another = ''] = kept.chain.map((one) => one.source);
    const folder = `/tank/blank/100/${VM}/.zfs/snapshot/one-backup-${source}`;
    await machine.sh(`zfs hold theirs tank/blank/100/${VM}@one-backup-${source}`);
    const failure = await bed
      .open()
      .remove(imageOf(kept))
      .then(
        () => undefined,
        (error: Error) => error,
      );
    t.match(failure?.message, /^cannot destroy the snapshots: .*being held.*release it there by hand/);
    await samePoint(t, bed, other, first, story);
    const holds = (one: string): Promise<string> =>
      machine.sh(`zfs holds -H tank/blank/100/${VM}@one-backup-${one} | cut -f 2 | sort | paste -sd,`);
    t.equal(await holds(source), 'one-backup,theirs', 'it is held as before');
    t.equal(await holds(another), 'one-backup', 'and so is one that nobody else holds');
    const noted = (await machine.sh(`ls /tank/blank/100/.backups/${VM}`)).split('\n');
    t.strictSame(noted.sort(), [source, another].sort(), 'both are noted');
    await machine.sh(`zfs release theirs tank/blank/100/${VM}@one-backup-${source}`);
    await machine.sh(`(exec 9<${folder}/disk.0; sleep 4) >/dev/null 2>&1 &`);
    await bed.open().remove(imageOf(kept));
    t.strictSame(bed.stored(), [], 'what was being read for a moment goes');
  });
}
