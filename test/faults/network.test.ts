import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { type DriverName, FOLDER_DRIVERS } from '../helpers/drivers';
import { withText } from '../helpers/messages';
import { chainIn } from './fault-world';
import { plainLines } from './kills';
import { type Action, makeBed } from './network-bed';
import { processes, send } from './processes-of';

t.setTimeout(2_400_000);

const loginsOf =
  (driver: DriverName) =>
  async (t: Test): Promise<void> => {
    const { world, faults, actions, repository } = await makeBed(t, 2, { driver });
    const counted = async (name: Action): Promise<number[]> => {
      const before = ['host1', 'server'].map((host) => world.ssh.connections(host));
      const ended = await actions()[name]().ended;
      t.equal(ended.code, 0, ended.stderr);
      return ['host1', 'server'].map((host, index) => world.ssh.connections(host) - (before[index] ?? 0));
    };
    t.same(await counted('backup'), [1, 2], 'the host, the server, and the one from the host to the server');
    t.same(await counted('monitor'), [0, 1], 'monitor: the server');
    t.same(await counted('rm'), [0, 1], 'rm: the server, where it works beside the data');
    t.same(faults.debris(repository), []);
  };

t.test('a backup server that gives SFTP only: every action works', async (t) => {
  const { faults, world, repository, disk, chain, actions } = await makeBed(t, 3, { sftpOnly: ['server'] });
  const done = async (name: Action) => {
    const ended = await actions()[name]().ended;
    t.same([ended.code, plainLines(ended.stderr)], [0, []], `${name} succeeds`);
    return ended;
  };
  t.match((await done('monitor')).stdout, /^USED_MB=\d+\nTOTAL_MB=\d+\nFREE_MB=\d+\n$/);
  const next = { id: 3, source: (await done('backup')).stdout.split(' ')[0] ?? '' };
  t.match((await done('ls')).stdout, /^\{"0":"restic:/);
  const path = join(faults.stagingOf(1), 'disk.0.2');
  const url = `restic://100//${chain.map(({ id, source }) => `${id}:${source}`).join()}${path}`;
  const stat = await world.run(
    world.script('stat'),
    ['1'],
    world.message('stat-from-backup-ds', (text) => withText(text, 'IMAGE', 'PATH', url)),
  );
  t.same([stat.code, plainLines(stat.stderr)], [0, []], 'stat succeeds');
  t.match(stat.stdout, /^\d+\n$/);
  const flattened = await done('flatten');
  const after = [...chainIn(flattened), next];
  for (const id of [1, 2, 3])
    t.equal(await faults.differs(1, after, id, disk.at(String(id))), undefined, `increment ${id} is intact`);
  t.equal(
    faults.programCalls().filter((call) => call.includes(` -r ${repository}`)).length,
    0,
    'restic never ran on the server',
  );
  await done('rm');
  t.same(faults.debris(repository), []);
  t.equal(faults.damage(repository), undefined);
});

const unreachable =
  (driver: DriverName) =>
  async (t: Test): Promise<void> => {
    const { faults, world, repository, actions } = await makeBed(t, 3, { driver });
    // When restic ends as soon as its ssh does, it sometimes loses what ssh had said: then the line names the way to ask.
    const expectUnreachable = async (
      what: string,
      names: readonly Action[],
      says: RegExp,
      changed = actions(),
    ): Promise<void> => {
      for (const name of names) {
        const ended = await changed[name]().ended;
        t.same([ended.code, ended.stdout], [5, ''], `${what}: ${name} ends with 5: ${ended.stderr.trim()}`);
        t.equal(plainLines(ended.stderr).length, 1, `${what}: ${name} says one line`);
        t.match(plainLines(ended.stderr)[0], says, `${what}: ${name} says why`);
      }
      t.same(await faults.quiet(), [], `${what}: nothing runs`);
      t.same(faults.debris(repository), [], `${what}: nothing is left`);
    };
    const known = world.ssh.knownHosts('server');
    const keys = execFileSync('cat', [known], { encoding: 'utf8' });
    const only = (port: number): void =>
      writeFileSync(
        known,
        keys
          .split('\n')
          .filter((line) => line.includes(`:${port} `))
          .join('\n')
          .concat('\n'),
      );
    only(world.ssh.port('host1'));
    await expectUnreachable('unknown key of the server', ['backup', 'monitor', 'rm', 'flatten', 'ls'], /host key/i);
    only(world.ssh.port('server'));
    await expectUnreachable('unknown key of the host', ['backup'], /host key/i);
    writeFileSync(known, keys);

    const nowhere = actions({}, (text) => withText(text, 'DATASTORE', world.traits.named.server, 'nowhere.invalid'));
    world.ssh.configure('Host nowhere.invalid\n  HostName nowhere.invalid\n');
    await expectUnreachable(
      'a name that does not resolve',
      ['backup', 'monitor', 'rm', 'ls'],
      /nowhere\.invalid/,
      nowhere,
    );

    const stranger = world.ssh.makeKey('stranger', { authorized: false });
    const config = execFileSync('cat', [world.ssh.config], { encoding: 'utf8' });
    writeFileSync(world.ssh.config, config.replaceAll(world.ssh.key, stranger));
    await expectUnreachable('a key that nobody knows', ['backup', 'monitor', 'rm', 'ls'], /login|key|denied|refuse/i);
    writeFileSync(world.ssh.config, config);

    t.equal((await actions().backup().ended).code, 0, 'afterwards the backup succeeds');

    const config1 = `${world.ssh.folder}/sshd1.conf `;
    const listener = processes().find(
      ({ argv: [title = ''] }) => title.includes(config1) && title.includes('[listener]'),
    );
    t.ok(listener !== undefined && send('SIGKILL', listener.pid), 'sshd of the server is gone');
    await expectUnreachable(
      'an sshd that does not run',
      ['backup', 'monitor', 'rm', 'flatten', 'ls'],
      /refused|nothing listens/,
    );
  };

t.test('a full temporary folder on the front-end', async (t) => {
  const { faults, world, repository, disk, chain, actions } = await makeBed(t, 3, { sftpOnly: ['server'] });
  const full = join(world.folder, 'small');
  mkdirSync(full);
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=2m', 'tmpfs', full]);
  t.teardown(() => execFileSync('umount', ['-l', full]));
  const small = actions({}, (text) => withText(text, 'DATASTORE', 'RESTIC_TMP_DIR', full));
  const { code, stdout, stderr } = await small.flatten().ended;
  t.same([code, stdout], [10, ''], `flatten ends with 10: ${stderr.trim()}`);
  t.equal(plainLines(stderr).length, 1);
  t.same(await faults.quiet(), []);
  t.same(
    [faults.debris(repository), execFileSync('ls', ['-A', full], { encoding: 'utf8' })],
    [[], ''],
    'nothing is left',
  );
  for (const id of [1, 2])
    t.equal(await faults.differs(1, chain, id, disk.at(String(id))), undefined, `increment ${id} is intact`);
  t.equal((await actions().flatten().ended).code, 0, 'where there is space, the next try succeeds');
});

for (const driver of FOLDER_DRIVERS) {
  t.test(`${driver}: a backup logs in once at each host`, loginsOf(driver));
  t.test(`${driver}: a host or server that cannot be reached is one clear line`, unreachable(driver));
}
