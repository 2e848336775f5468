// What doctor says of a backup server with ZFS: the links that only this driver has, on a machine as the README sets it up.
import t, { type Test } from 'tap';
import { isMended, problems, rowsOf } from '../control/doctor-report';
import { CREATED, type DoctorWorld, openDoctor } from '../control/doctor-world';
import type { ZfsMachine } from '../helpers/zfs-machine';

const skip = process.getuid?.() === 0 ? false : 'only root can give hosts programs of their own';

t.test('doctor on ZFS', { skip }, async (t) => {
  const world = await openDoctor('zfs');
  t.teardown(() => world.stop());
  world.serve();
  const { machine, datastore } = world.w as DoctorWorld['w'] & { machine: ZfsMachine };
  const dataset = datastore.slice(1).replace(/\/[0-9]+$/, '');

  t.test('the example is registered, and all is well', async (t) => {
    t.match(await world.run('register', world.file), { code: 0, stdout: `${CREATED}\n` });
    const { code, stdout } = await world.run('doctor', String(CREATED), '--host', 'host1');
    t.strictSame([code, problems(rowsOf(stdout))], [0, []], stdout);
    const says = rowsOf(stdout).find(({ what }) => what === 'dataset')?.says;
    t.equal(says, `${dataset}/${CREATED} is mounted`);
  });

  const breaks = (name: string, test: (t: Test) => Promise<void>): void => void t.test(name, test);

  breaks('a dataset that is not there', async (t) => {
    world.write({ ZFS_DATASET: 'tank/missing' });
    await isMended(t, world, { machine: 'server', what: 'dataset', says: /^there is no dataset tank\/missing$/ });
    world.write();
  });

  breaks('datasets that are not mounted, or are below one that was mounted later', async (t) => {
    const own = `${dataset}/${CREATED}`;
    const says = (pattern: RegExp) => ({ machine: 'server', what: 'dataset', says: pattern });
    await machine.sh(`zfs unmount ${dataset}`);
    await isMended(t, world, says(/ is not mounted$/));
    await machine.sh(`zfs unmount ${own}`);
    await isMended(t, world, says(new RegExp(`^${own} is not mounted$`)));
    await machine.sh(`zfs create ${own}/7 && zfs unmount ${dataset} && zfs mount ${own} && zfs mount ${own}/7`);
    await isMended(t, world, says(new RegExp(`^${dataset} is not mounted$`)));
    await machine.sh(
      `zfs mount ${own}/7 && zfs unmount ${dataset} && zfs mount ${own} && zfs mount ${own}/7 && zfs mount ${dataset}`,
    );
    await isMended(t, world, says(new RegExp(`^/${own} does not show ${own}: ${dataset} was mounted over it$`)));
    await machine.sh(`zfs destroy ${own}/7`);
  });

  breaks('a pool that is not imported', async (t) => {
    world.write({ ZFS_DATASET: 'elsewhere/backups' });
    const { code, rows, said } = await world.doctor();
    t.equal(code, 1, said);
    const row = (what: string) => rows.find((one) => one.machine === 'server' && one.what === what);
    t.match(row('pool'), { state: 'FAILURE', says: 'there is no pool elsewhere' });
    t.match(row('pool')?.commands, [{ on: 'server', asRoot: true, text: 'zpool import elsewhere' }]);
    t.match(row('dataset'), { state: '-', says: 'pool must work first' });
    world.write();
  });

  breaks('a quota that is reached, and a login that may not run zfs', async (t) => {
    // Written before there is a quota: near one, each write waits.
    await machine.sh(`head -c 20M /dev/urandom >/${dataset}/filler && zpool sync && rm /etc/sudoers.d/backups`);
    await machine.sh(`zfs set quota=$(zfs get -Hpo value used ${dataset}) ${dataset}`);
    const hint = /The quota of \S+ is reached: raise it, or remove old backups/;
    const full = { machine: 'server', what: 'space', says: /^full: .* free of/, hint };
    const rows = await isMended(t, world, full);
    t.match(
      rows.find(({ what }) => what === 'rights'),
      { state: 'FAILURE', says: /^sudo refuses: zfs snapshot / },
    );
    await machine.sh(`rm /${dataset}/filler && zfs set quota=none ${dataset}`);
  });

  breaks('a folder that belongs to somebody else', async (t) => {
    await machine.sh(`chown root: /${dataset}`);
    await isMended(t, world, { machine: 'server', what: 'dataset', says: /does not belong to oneadmin$/ });
  });

  breaks('a template that another login had', async (t) => {
    await machine.sh(`zfs rename ${dataset}@one-template @one-template-kept && chown root: /${dataset}
      zfs snapshot ${dataset}@one-template && chown oneadmin: /${dataset}`);
    const says = /^the snapshot \S+@one-template does not belong to oneadmin$/;
    await isMended(t, world, { machine: 'server', what: 'dataset', says });
  });

  breaks('a folder that every login can read', async (t) => {
    await machine.sh(`chmod 755 /${dataset}/${CREATED}`);
    await isMended(t, world, {
      machine: 'server',
      what: 'dataset',
      state: 'warning',
      says: /^every login there can read the backups in /,
    });
  });
});
