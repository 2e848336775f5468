import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { FrontEndOptions, Running } from '../helpers/front-end';
import { withText } from '../helpers/messages';
import { chainIn, startFaultWorld, withAttribute } from './fault-world';
import { plainLines } from './kills';
import { ofActions, processes, send, servedBy, sessions, until } from './processes-of';

t.setTimeout(600_000);

type Action = 'monitor' | 'backup' | 'flatten' | 'ls' | 'rm';

/** VM 1 with a chain, and its next increment in the staging folder. */
async function makeBed(t: Test, length: number, options: FrontEndOptions = {}) {
  const faults = await startFaultWorld(options);
  t.teardown(() => faults.stop());
  const { world } = faults;
  const repository = world.repository(1);
  faults.init(repository);
  const disk = faults.newDisk('disk');
  const chain = await faults.makeChain(1, disk, length);
  faults.keep();
  disk.change(20);
  faults.stage(1, disk, length, String(length));
  const edited = (attributes: Record<string, string>) => (text: string) =>
    Object.entries(attributes).reduce((message, [name, value]) => withAttribute(message, name, value), text);
  const actions = (
    attributes: Record<string, string> = {},
    edit = (text: string): string => text,
  ): Record<Action, () => Running> => ({
    monitor: () => world.start('restic/monitor', ['100'], world.message('monitor', edit)),
    backup: () => {
      const [args, message] = world.backupCall(1, [0], length);
      return world.start('restic/backup', args, edit(edited(attributes)(message)));
    },
    flatten: () =>
      world.start(
        'restic/increment_flatten',
        ['6'],
        world.imageMessage('increment_flatten', 1, chain, (text) => edit(edited(attributes)(text))),
      ),
    ls: () => world.start('restic/ls', ['-i', '-1'], world.imageMessage('ls-i2', 1, chain, edit)),
    rm: () =>
      world.start(
        'restic/rm',
        ['6'],
        world.imageMessage('rm-increments', 1, chain, (text) => edit(edited(attributes)(text))),
      ),
  });
  return { ...{ faults, world, repository, disk, chain, actions } };
}

t.test('a backup logs in once at each host', async (t) => {
  const { world, faults, actions, repository } = await makeBed(t, 2);
  const counted = async (name: Action): Promise<number[]> => {
    const before = ['host1', 'server'].map((host) => world.ssh.connections(host));
    const ended = await actions()[name]().ended;
    t.equal(ended.code, 0, ended.stderr);
    return ['host1', 'server'].map((host, index) => world.ssh.connections(host) - (before[index] ?? 0));
  };
  t.same(await counted('backup'), [1, 2], "the host, the server, and restic's own one from the host to the server");
  t.same(await counted('monitor'), [0, 1], 'monitor: the server');
  t.same(await counted('rm'), [0, 1], 'rm: the server, where it works beside the data');
  t.same(faults.debris(repository), []);
});

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
    'restic/stat',
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
    faults.resticCalls().filter((call) => call.includes(` -r ${repository}`)).length,
    0,
    'restic never ran on the server',
  );
  await done('rm');
  t.same(faults.debris(repository), []);
  t.equal(faults.damage(repository), undefined);
});

t.test('a peer that is silent ends an action, too', async (t) => {
  const { faults, world, repository, actions } = await makeBed(t, 1);
  const { ended } = actions({ RESTIC_STALL_LIMIT: '30', RESTIC_BWLIMIT: '300' }).backup();
  const server = world.ssh.port('server');
  const ours = () => ofActions(world.ssh.folder).filter(({ name, argv }) => name === 'ssh' && argv.at(-1) === 'sftp');
  const serving = () => servedBy(ours(), world.ssh.folder, server);
  // Once the backup transfers: its session has a lock in the repository.
  t.ok(
    await until(
      () => serving().length > 0 && faults.debris(repository).some((name) => name.includes('-restic-temp-')),
      60,
      5,
    ),
  );
  const pids = serving().map(({ pid }) => pid);
  const children = sessions(world.ssh.folder).filter(({ parent }) => pids.includes(parent));
  const silent = [...pids, ...children.map(({ pid }) => pid)];
  t.teardown(() => silent.map((pid) => send('SIGCONT', pid)));
  for (const pid of silent) send('SIGSTOP', pid);
  const began = Date.now();
  const { code, stdout, stderr } = await ended;
  t.comment(`it ended after ${Math.round((Date.now() - began) / 1000)} s: ${stderr.trim()}`);
  t.same([code, stdout, plainLines(stderr).length], [12, '', 1], 'stalled, in one line');
  t.match(plainLines(stderr)[0], /moved no data/);
  for (const pid of silent) send('SIGCONT', pid);
  t.same(await faults.quiet(), []);
  const next = await actions().backup().ended;
  t.same([next.code, plainLines(next.stderr)], [0, []], 'once the peer is back, the next backup succeeds');
  t.same(faults.debris(repository), []);
  t.equal(faults.damage(repository), undefined);
});

t.test('a host or server that cannot be reached is one clear line', async (t) => {
  const { faults, world, repository, actions } = await makeBed(t, 3);
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

  const nowhere = actions({}, (text) => withText(text, 'DATASTORE', 'RESTIC_SFTP_SERVER', 'nowhere.invalid'));
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
});

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
