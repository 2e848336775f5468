import { chmodSync, existsSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { FrontEndOptions, Running } from '../helpers/front-end';
import { until } from '../helpers/waits';
import { chainIn, type FaultWorld, type Known, RESTIC, startFaultWorld, withAttributes } from './fault-world';
import { plainLines } from './kills';
import { holdLock, type LockHolder } from './lock-holder';
import { send } from './processes-of';

t.setTimeout(2_400_000);

/** VM 1 with a chain of three, and what of it another action can be tried with. */
async function makeBed(t: Test, options: FrontEndOptions = {}) {
  const faults = await startFaultWorld(options);
  t.teardown(() => faults.stop());
  const { world } = faults;
  const repository = world.repository(1);
  faults.init(repository);
  const disk = faults.newDisk('disk');
  const chain = await faults.makeChain(1, disk, 3);
  faults.keep();
  disk.change(20);
  faults.stage(1, disk, 3, '3');
  const hold = async (prefix: readonly string[] = []): Promise<LockHolder> => {
    const holder = await holdLock(faults, repository, prefix);
    t.teardown(() => send('SIGKILL', holder.pid));
    return holder;
  };
  const edited = (attributes: Record<string, string>) => (text: string) => withAttributes(text, attributes);
  const actions = (attributes: Record<string, string> = {}): Record<'backup' | 'flatten' | 'rm', () => Running> => ({
    backup: () => {
      const [args, message] = world.backupCall(1, [0], 3);
      return world.start('restic/backup', args, edited(attributes)(message));
    },
    flatten: () =>
      world.start(
        'restic/increment_flatten',
        ['6'],
        world.imageMessage('increment_flatten', 1, chain, edited(attributes)),
      ),
    rm: () => world.start('restic/rm', ['6'], world.imageMessage('rm-increments', 1, chain, edited(attributes))),
  });
  return { ...{ faults, world, repository, disk, chain, hold, actions } };
}

function locksOf(faults: FaultWorld, repository: string): string[] {
  return faults.debris(repository).filter((name) => name.startsWith('locks/'));
}

/** Nobody may ever break the lock of a living program. */
function expectNoForce(t: Test, faults: FaultWorld): void {
  const forced = faults
    .programCalls()
    .filter((call) => call.includes('--remove-all') || call.includes('--no-lock prune'));
  t.same(forced, [], 'restic unlock --remove-all was never used');
}

t.test('a held lock is waited for', async (t) => {
  const { faults, repository, disk, chain, hold, actions } = await makeBed(t);
  for (const [name, start] of Object.entries(actions())) {
    faults.reset();
    const holder = await hold();
    const before = faults.programCalls().length;
    const { ended } = start();
    const tries = (): string[] =>
      faults
        .programCalls()
        .slice(before)
        .filter((call) => call.includes(' unlock'));
    // The second look at the lock, on the host of its holder, comes before the second pause.
    t.ok(await until(() => tries().length > 0, 120), `${name} looks whether the lock is stale`);
    t.equal(locksOf(faults, repository).length, 1, `${name} leaves the lock of a living program alone`);
    for (const id of name === 'backup' ? [0, 2] : []) {
      t.equal(await faults.differs(1, chain, id, disk.at(String(id))), undefined, `increment ${id} is read meanwhile`);
    }
    await holder.release();
    const { code, stderr } = await ended;
    t.same([code, plainLines(stderr)], [0, []], `${name} goes on when the lock is released`);
    t.match(
      stderr,
      /^INFO: .* locked exclusively by PID \d+ on \S+ by \S+.* - waiting$/m,
      `${name} says in the log whom it waits for`,
    );
    t.same(faults.debris(repository), []);
    t.equal(faults.damage(repository), undefined);
  }
  expectNoForce(t, faults);
});

t.test('a lock that stays is an error that names its holder', async (t) => {
  const { faults, repository, hold, actions } = await makeBed(t);
  const holder = await hold();
  for (const [name, start] of Object.entries(actions({ RESTIC_LOCK_WAIT: '1' }))) {
    const { code, stdout, stderr } = await start().ended;
    t.same([code, stdout], [8, ''], `${name} fails`);
    const [line = '', ...more] = plainLines(stderr);
    t.match(
      line,
      new RegExp(`locked exclusively by PID ${holder.pid} on \\S+ by \\S+.*waited 1 s`),
      `${name} names the holder`,
    );
    t.same(more, []);
  }
  t.equal(faults.debris(repository).length, 1, 'the lock is still there');

  // What was half done by the flatten is found by the next one.
  await holder.die();
  for (const [name, start] of Object.entries(actions())) {
    if (name === 'rm') continue;
    t.equal((await start().ended).code, 0, `${name} removes the lock of a dead process`);
    t.same(faults.debris(repository), []);
  }
  faults.reset();
  await (await hold()).die();
  t.equal(faults.debris(repository).length, 1, 'a dead lock');
  t.equal((await actions().rm().ended).code, 0, 'rm removes it, too');
  t.same(faults.debris(repository), []);
  expectNoForce(t, faults);
});

t.test('a lock of another host is judged by that host', async (t) => {
  const elsewhere = 'elsewhere';
  const { faults, world, repository, hold, actions } = await makeBed(t, {
    names: ['host1', 'server', elsewhere],
    sshds: 3,
  });
  const inItsName = ['unshare', '--uts', 'sh', '-c', `hostname ${elsewhere}; exec "$@"`, 'sh'];
  // On that host restic goes by its name, as it would on a machine of its own.
  const wrapper = join(faults.tools, 'restic');
  const calls = join(faults.tools, '..', 'calls');
  const port = world.ssh.port(elsewhere);
  writeFileSync(
    wrapper,
    `#!/bin/sh
echo "$$ $SSH_CONNECTION $*" >>${calls}
case "$SSH_CONNECTION" in *" ${port}") exec unshare --uts sh -c 'hostname ${elsewhere}; exec ${RESTIC} "$@"' sh "$@";; esac
exec ${RESTIC} "$@"
`,
  );
  chmodSync(wrapper, 0o755);
  for (const [name, start] of Object.entries(actions())) {
    faults.reset();
    const holder = await hold(inItsName);
    const before = faults.programCalls().length;
    const { ended } = start();
    const asked = (): boolean =>
      faults
        .programCalls()
        .slice(before)
        .some((call) => call.includes(` ${port} `) && call.endsWith(' unlock'));
    t.ok(await until(asked, 120), `${name} asks the host that holds the lock`);
    await new Promise((resolve) => setTimeout(resolve, 1500));
    t.equal(locksOf(faults, repository).length, 1, `${name} leaves the lock of a living program there`);
    await holder.die();
    const { code, stderr } = await ended;
    t.same([code, plainLines(stderr)], [0, []], `${name} goes on once its holder is dead`);
    t.same(faults.debris(repository), []);
  }
  expectNoForce(t, faults);
});

t.test('actions on one repository at once', async (t) => {
  const { faults, world, repository, disk, chain, actions } = await makeBed(t);
  const job = join(world.datastore, 'job_7');
  const two = [2, 3].map((vmId) => {
    const own = faults.newDisk(`vm${vmId}`, vmId);
    own.change(40);
    faults.stage(vmId, own, 0, '0');
    return { vmId, own };
  });
  const firsts = await Promise.all(
    two.map(({ vmId }) => world.run('restic/backup', ...world.backupCall(vmId, [0], 0, '7'))),
  );
  for (const [index, { vmId, own }] of two.entries()) {
    t.equal(firsts[index]?.code, 0, `the first backup of VM ${vmId} in a new job succeeds: ${firsts[index]?.stderr}`);
    const stored: Known[] = [{ id: 0, source: firsts[index]?.stdout.split(' ')[0] ?? '' }];
    t.equal(await faults.differs(vmId, stored, 0, own.at('0'), '7'), undefined, `and VM ${vmId} can be restored`);
  }
  t.same(faults.debris(job), [], 'one repository, and nothing beside it');
  t.equal(faults.damage(job), undefined);

  for (const name of ['flatten', 'rm'] as const) {
    faults.reset();
    const slow = actions({ RESTIC_BWLIMIT: '600' }).backup;
    const before = faults.programCalls().length;
    const backup = slow();
    await until(
      () =>
        faults
          .programCalls()
          .slice(before)
          .some((call) => call.includes(' backup ')),
      60,
      5,
    );
    const other = actions()[name]();
    const ended = [await backup.ended, await other.ended];
    t.same(
      ended.map((one) => [one?.code, plainLines(one?.stderr ?? '')]),
      [
        [0, []],
        [0, []],
      ],
      `${name} during a backup: both succeed`,
    );
    if (name === 'flatten' && ended[1] !== undefined) {
      const after = [...chainIn(ended[1]), { id: 3, source: ended[0]?.stdout.split(' ')[0] ?? '' }];
      for (const id of [1, 2, 3])
        t.equal(await faults.differs(1, after, id, disk.at(String(id))), undefined, `increment ${id} is intact`);
    }
    t.same(faults.debris(repository), []);
    t.equal(faults.damage(repository), undefined);
  }
  t.ok(chain.length === 3 && existsSync(repository));
  expectNoForce(t, faults);
});

t.test('what killed programs had half uploaded is swept, but not what a living one may own', async (t) => {
  const { faults, repository, hold, actions } = await makeBed(t);
  const id = 'a'.repeat(64);
  const data = `data/${readdirSync(join(repository, 'data'))[0]}`;
  const lay = (folders: readonly string[]): void => {
    for (const folder of folders) {
      for (const end of ['restic-temp-0123456789abcdef', 'tmp-123456789'])
        writeFileSync(join(repository, folder, `${id}-${end}`), '');
    }
  };
  for (const name of ['backup', 'flatten', 'rm'] as const) {
    faults.reset();
    // A killed program leaves its lock, too, or half of that.
    lay(['locks', data, 'index', 'snapshots']);
    t.equal(faults.debris(repository).length, 8);
    const { code, stderr } = await actions()[name]().ended;
    t.same([code, plainLines(stderr)], [0, []], name);
    t.same(faults.debris(repository), [], `${name} sweeps all of them`);
  }
  faults.reset();
  lay([data]);
  const holder = await hold();
  const { code } = await actions({ RESTIC_LOCK_WAIT: '1' }).backup().ended;
  t.same([code, faults.debris(repository).length], [8, 3], 'beside a lock that is held, they stay');
  await holder.release();
  expectNoForce(t, faults);
});

t.test('a backup whose lock somebody removed is not called stored', async (t) => {
  const { faults, repository, disk, actions } = await makeBed(t);
  const snapshots = (): string[] => readdirSync(join(repository, 'snapshots')).sort();
  const before = snapshots();
  const backup = actions({ RESTIC_BWLIMIT: '600' }).backup();
  const locks = (): string[] => locksOf(faults, repository).filter((name) => /[0-9a-f]{64}$/.test(name));
  await until(() => locks().length > 0, 60, 5);
  for (const name of locks()) rmSync(join(repository, name)); // as a prune does that takes it for a dead one
  const { code, stdout, stderr } = await backup.ended;
  t.same([code, stdout], [9, '']);
  t.match(stderr, /^somebody removed the lock in \S+ under which the backup was being stored .*backupctl doctor/m);
  t.same(snapshots(), before, 'and its snapshot is taken back');
  t.same(faults.debris(repository), []);

  faults.reset();
  disk.change(20);
  faults.stage(1, disk, 3, '3');
  const { code: again } = await actions().backup().ended;
  t.equal(again, 0, 'the next one is stored');
});
