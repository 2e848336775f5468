import type { Test } from 'tap';
import type { Host } from '../../lib/host/host';
import type { Hosts } from '../../lib/host/hosts';
import type { VmId } from '../../lib/opennebula/ids';
import { extend, imageOf, type Kept, lastPoint, lay, samePoint } from '../conformance/scene';
import type { Story } from '../conformance/story';
import type { ZfsWorld } from '../conformance/zfs-bed';
import { failure } from '../helpers/failure';
import { allowed } from '../helpers/zfs-rights';

const none = (vmId: number): Kept => ({ vmId: vmId as VmId, jobId: undefined, chain: [], stages: [] });

/** What others do to a server, or a dead action leaves there, and the next backup has to get over by itself. */
export async function testSurvivals(t: Test, { machine, bed }: ZfsWorld, story: Story): Promise<void> {
  const [first] = story.neighbour;

  await t.test('a bookmark that is newer than the newest backup', async (t) => {
    const dataset = 'tank/blank/100/21';
    const older = await extend(bed, bed.open(), none(21), first);
    const newer = await extend(bed, bed.open(), none(21), story.foreign);
    await machine.sh(`zfs bookmark ${dataset}@one-backup-${newer.chain[0]?.source} ${dataset}#zrepl_CURSOR`);
    await bed.open().remove(imageOf(newer));
    await samePoint(t, bed, older, first, story);
    const next = await extend(bed, bed.open(), none(21), story.foreign);
    await samePoint(t, bed, next, story.foreign, story);
    t.equal(await machine.sh(`zfs list -Ho name -t bookmark ${dataset}`), `${dataset}#zrepl_CURSOR`);
  });

  await t.test('datasets that are not mounted', async (t) => {
    const dataset = 'tank/blank/100/22';
    const kept = await extend(bed, bed.open(), none(22), first);
    await machine.sh('zfs unmount tank/blank/100');
    await samePoint(t, bed, kept, first, story);
    await machine.sh('zfs unmount tank/blank/100');
    const next = await extend(bed, bed.open(), none(22), story.foreign);
    await samePoint(t, bed, next, story.foreign, story);
    await machine.sh(`zfs mount -a && zfs set canmount=off ${dataset}`);
    const off = bed.open().backup(await lay(bed, none(22), first));
    await t.rejects(off, failure('failed', /property is set to 'off' \(on server\)\. .*zfs set canmount=on/));
    await machine.sh(`zfs set canmount=on ${dataset} && zfs mount ${dataset}`);
    await samePoint(t, bed, kept, first, story);

    const attributes = { ZFS_DATASET: 'tank/locked' };
    await machine.sh(`echo 12345678 | zfs create -o encryption=on -o keyformat=passphrase tank/locked
      chown oneadmin: /tank/locked`);
    await bed.open({ attributes }).prepare?.();
    await machine.sh('zfs unmount tank/locked && zfs unload-key tank/locked');
    const locked = bed.open({ attributes }).backup(await lay(bed, none(22), first));
    await t.rejects(locked, failure('failed', /key not loaded \(on server\)\. .*zfs load-key -r/));
  });

  await t.test('a snapshot into which several look for the first time at once', async (t) => {
    // Where nobody prevents it, the kernel module panics in about every second round, and nothing there ends any more.
    for (const vmId of [31, 33, 34]) {
      const kept = await extend(bed, bed.open(), none(vmId), first);
      const held = await Promise.all([1, 2, 3, 4].map(() => bed.open().files(lastPoint(kept))));
      t.same(
        held.map(({ disks }) => disks.size),
        [1, 1, 1, 1],
      );
    }
  });

  await t.test('a snapshot that the kernel does not mount', async (t) => {
    const kept = await extend(bed, bed.open(), none(32), first);
    const folder = `/tank/blank/100/32/.zfs/snapshot/one-backup-${kept.chain[0]?.source}`;
    await machine.sh('mv /usr/bin/mount /usr/bin/away');
    t.teardown(() => machine.sh('[ ! -e /usr/bin/away ] || mv /usr/bin/away /usr/bin/mount'));
    t.equal(await machine.sh(`ls ${folder}`), '', 'it seems to be there, and empty');
    const refused = bed.open().files(lastPoint(kept));
    const says = new RegExp(`^cannot read ${folder}: the kernel does not mount the snapshot \\(on server\\)\\. `);
    await t.rejects(refused, failure('failed', says));
    const inventory = bed.open().inventory?.();
    const points = (await inventory?.points(32 as VmId)) ?? [];
    const extent = { share: 1, seed: 0, bandwidthLimitKib: undefined };
    const [, check] = (await inventory?.checks(points, extent)) ?? [];
    await t.rejects(async () => check?.run(), failure('failed', says), 'nobody takes it for damaged');
    // It fails three times, and the third time it puts the real one back: the looks are counted, and no clock is raced.
    // The kernel starts it without any open file.
    await machine.sh(`rm -f /run/mounts && cat >/usr/bin/mount.new <<'END' && chmod 755 /usr/bin/mount.new
#!/bin/sh
exec </dev/null >/dev/null 2>&1
echo once >>/run/mounts
[ $(wc -l </run/mounts) -lt 3 ] || mv /usr/bin/away /usr/bin/mount
exit 1
END
      mv /usr/bin/mount.new /usr/bin/mount`);
    t.ok((await bed.open().files(lastPoint(kept))).disks.size > 0, 'it is looked at again');
    t.equal(await machine.sh('wc -l </run/mounts'), '3', 'after it had failed');
    await samePoint(t, bed, kept, first, story);
  });

  await t.test('rm of the last backup while another one is sent', async (t) => {
    const kept = await extend(bed, bed.open(), none(23), first);
    let removed: Promise<void> | undefined;
    const hosts = (real: Hosts): Hosts =>
      before(real, /transfer the backup/, () => {
        removed ??= bed.open().remove(imageOf(kept));
        return removed;
      });
    const next = await extend(bed, bed.open({ hosts }), none(23), story.foreign);
    t.ok(removed, 'it happened');
    await samePoint(t, bed, next, story.foreign, story);
  });

  await t.test('a manifest that is damaged', async (t) => {
    await extend(bed, bed.open(), none(23), first);
    await machine.sh('echo "{}" >/tank/blank/100/23/manifest.json');
    const next = await extend(bed, bed.open(), none(23), story.foreign);
    await samePoint(t, bed, next, story.foreign, story);
  });

  await t.test('a disk that somebody has written to', async (t) => {
    const [full, increment] = story.chain;
    const kept = await extend(bed, bed.open(), none(35), full);
    await machine.sh(`cd /tank/blank/100/35 && for at in $(seq 327780 65536 $(stat -c %s disk.0)); do
        printf x | dd of=disk.0 bs=1 seek=$at conv=notrunc status=none; done; zpool sync tank`);
    const next = await extend(bed, bed.open(), kept, increment);
    await samePoint(t, bed, next, increment, story);
  });

  await t.test('a first backup that died in its dataset', async (t) => {
    const dataset = 'tank/blank/100/38';
    await machine.sh(`sudo zfs clone tank/blank@one-template ${dataset} && head -c 3M /dev/urandom >/${dataset}/disk.0
      mkdir -p /tank/blank/100/.incoming/38/.lock && chown -R oneadmin: /${dataset} /tank/blank/100/.incoming/38; zpool sync`);
    const found = async () => (await bed.open().inventory?.().leftovers())?.filter(({ where }) => /\/38$/.test(where));
    const [left, ...others] = (await found()) ?? [];
    t.strictSame([left?.where, others], [`server: the dataset ${dataset}`, []]);
    const holder = await machine.sh(
      `setsid flock /tank/blank/100/.incoming/38/.lock sleep 600 </dev/null >/dev/null 2>&1 & echo $!
        while flock --nonblock /tank/blank/100/.incoming/38/.lock true; do sleep 0.1; done`,
    );
    t.strictSame(await found(), [], 'one that an action works on is none');
    await machine.sh(`kill -- -${holder}`);
    await left?.remove();
    t.strictSame([await found(), (await machine.run(`zfs list ${dataset}`)).code], [[], 1], 'it is gone');
  });

  await t.test('another login than before', async (t) => {
    const attributes = { ZFS_DATASET: 'tank/handed' };
    await machine.sh('zfs create tank/handed && zfs snapshot tank/handed@one-template && chown oneadmin: /tank/handed');
    const engine = bed.open({ attributes });
    const refused = failure(
      'failed',
      /^the snapshot tank\/handed@one-template does not belong to oneadmin \(on server\)\. Run there as root: (zfs rename .*); the next/,
    );
    await machine.sh('zfs create tank/handed/100 && chown oneadmin: /tank/handed/100');
    await t.rejects(engine.backup(await lay(bed, none(39), first)), refused);
    t.equal(await machine.sh('zfs list -Ho name -r tank/handed | grep -c 39 || true'), '0', 'nothing was made');
    await machine.sh('zfs rename tank/handed@one-template @one-template-until-$(date +%s)');
    await extend(bed, engine, none(39), first);
    t.equal(await machine.sh('ls /tank/handed/100/39 | grep -c "^disk"'), '1');
  });

  await t.test('a server whose datastore came back without the template, and files in its place', async (t) => {
    const attributes = { ZFS_DATASET: 'tank/back' };
    await machine.sh(`zfs create tank/back && zfs create tank/back/100 && chown oneadmin: /tank/back /tank/back/100
      echo secret >/tank/back/file`);
    const refused = bed.open({ attributes }).backup(await lay(bed, none(24), first));
    const says =
      /^\/tank\/back\/file would be in every VM's dataset.* \(on server\)\. Move all files of tank\/back elsewhere/;
    await t.rejects(refused, failure('failed', says));
    await machine.sh('rm /tank/back/file');
    await extend(bed, bed.open({ attributes }), none(24), first);
    t.equal(await machine.sh('ls -A /tank/back/100/24 | grep -c "^disk"'), '1');
  });

  await t.test('a quota that was set by hand', async (t) => {
    const quota = (): Promise<string> => machine.sh('zfs get -Hpo value quota tank/blank/100');
    await bed.open().prepare?.();
    await machine.sh('zfs set quota=7G tank/blank/100');
    await bed.open().prepare?.();
    t.equal(await quota(), String(7 * 2 ** 30), 'it stays');
    await bed.open({ attributes: { ZFS_QUOTA: '6G' } }).prepare?.();
    t.equal(await quota(), String(6 * 2 ** 30));
    await bed.open({ attributes: { ZFS_QUOTA: 'none' } }).prepare?.();
    t.equal(await quota(), '0');
  });

  await t.test('rights that do not reach to destroy a dataset', async (t) => {
    await machine.sh(allowed());
    const delegated = bed.open({ attributes: { ZFS_SUDO: 'NO' } });
    const kept = await extend(bed, delegated, none(25), first);
    await delegated.remove(imageOf(kept));
    t.equal(await machine.sh('ls -A /tank/blank/100/25'), '', 'no file of the VM stays');
    const next = await extend(bed, delegated, none(25), story.foreign);
    await samePoint(t, bed, next, story.foreign, story);
    await machine.sh('zfs unallow -r oneadmin tank');
  });

  await t.test('a datastore that others cannot read, and one that nobody could', async (t) => {
    const unprivileged = 'setpriv --reuid 65534 --regid 65534 --clear-groups cat /tank/blank/100/23/disk.0';
    t.match((await machine.run(unprivileged)).stderr, /Permission denied/);

    await machine.sh('zfs create -o "mountpoint=/my backups" tank/blanks && chown oneadmin: "/my backups"');
    const blanks = bed.open({ attributes: { ZFS_DATASET: 'tank/blanks' } }).backup(await lay(bed, none(26), first));
    await t.rejects(blanks, failure('config', /the path \/my backups cannot stand in a backup URL/));
    if ((await machine.run('zfs set snapdir=disabled tank/blank')).code !== 0) return; // before OpenZFS 2.3
    const hidden = bed.open().backup(await lay(bed, none(26), first));
    await t.rejects(hidden, failure('failed', /it has snapdir=disabled \(on server\)\. .*zfs set snapdir=hidden/));
    await machine.sh('zfs inherit snapdir tank/blank');
    t.equal(await machine.sh('zfs list -Ho name -r tank | grep -c "blanks/\\|/26$" || true'), '0', 'nothing was made');
  });

  await t.test('sudo lets no property through that the driver does not set', async (t) => {
    const asked = (setting: string): Promise<string> =>
      machine.sh(
        `sudo -n -l zfs clone -o atime=off -o ${setting} tank/blank@one-template tank/blank/100/1 >/dev/null 2>&1 && echo yes || echo no`,
        { user: 'oneadmin' },
      );
    t.equal(await asked('compression=lz4'), 'yes');
    for (const setting of ['setuid=on', 'sharenfs=on', 'mountpoint=none']) t.equal(await asked(setting), 'no', setting);
  });
}

/** The hosts, but something happens before a step. */
function before(real: Hosts, step: RegExp, act: () => Promise<unknown>): Hosts {
  const wrapped = (host: Host): Host => ({
    ...{ name: host.name, files: host.files },
    async run(command, options) {
      if (step.test(command.purpose)) await act();
      return host.run(command, options);
    },
    programs: (names) => host.programs(names),
    mention: (command, condition) => host.mention(command, condition),
  });
  return {
    local: real.local,
    at: async (name, user) => wrapped(await real.at(name, user)),
    close: () => real.close(),
  };
}
