import t from 'tap';
import { startZfsMachine, type ZfsMachine } from '../helpers/zfs-machine';

t.test('a machine with real OpenZFS', { timeout: 2_400_000 }, async (t) => {
  const machine: ZfsMachine = await startZfsMachine({ onBoot: 'echo hello >/greeting' });
  t.teardown(() => machine.stop());

  t.match(await machine.sh('zfs version'), /^zfs-2\.[\s\S]*^zfs-kmod-2\./m, 'its tools and its kernel module answer');
  t.match(await machine.sh('zpool status tank'), /state: ONLINE/);
  t.match(
    await machine.sh('for p in rsync qemu-img sudo setpriv flock ps truncate; do command -v $p; done | wc -l'),
    '7',
  );
  t.equal(await machine.sh('id -un', { user: 'oneadmin' }), 'oneadmin');
  const clock = Number(await machine.sh('date +%s'));
  t.ok(Math.abs(clock - Date.now() / 1000) < 60, 'its clock is right');

  await machine.sh(
    'zfs create tank/vm && echo first >/tank/vm/disk && zfs snapshot tank/vm@one && echo second >/tank/vm/disk',
  );
  t.equal(
    await machine.sh('cat /tank/vm/.zfs/snapshot/one/disk', { user: 'oneadmin' }),
    'first',
    'a snapshot is seen as files',
  );

  await machine.sh(
    'echo 300 >/sys/module/zfs/parameters/zfs_txg_timeout && zpool sync tank && echo third >/tank/vm/disk && echo changed >/greeting',
  );
  await machine.powerOff();
  t.not((await machine.run('true')).code, 0, 'without power nothing answers');
  await machine.powerOn();
  t.match(await machine.sh('zpool status tank'), /state: ONLINE/, 'the pool is imported');
  t.equal(
    await machine.sh('cat /tank/vm/.zfs/snapshot/one/disk; zfs list -H -o name -t snapshot'),
    'first\ntank/vm@one',
  );
  t.equal(await machine.sh('cat /tank/vm/disk'), 'second', 'what was not yet on the disk is lost');
  t.equal(await machine.sh('cat /greeting'), 'hello', 'all else is as after any start');
});
