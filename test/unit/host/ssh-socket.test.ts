import { readdirSync, readFileSync } from 'node:fs';
import { type AddressInfo, createServer, type Server } from 'node:net';
import t from 'tap';
import { parseSshG, type SshTarget, sshTarget } from '../../../lib/host/ssh-config';
import { openSocket, proxyArgv } from '../../../lib/host/ssh-socket';
import type { HostName } from '../../../lib/opennebula/ids';
import { connectTo } from '../../helpers/ssh-connection';
import { startSshWorld, type World } from '../../helpers/sshd';
import { freePort } from '../../helpers/sshd-process';
import { until } from '../../helpers/waits';

const never = new AbortController().signal;

function target(text: string): SshTarget {
  return sshTarget('node1' as HostName, parseSshG(text), {}, { user: 'oneadmin', uid: 1, home: '/home' });
}

async function refusal(world: World, name: string, signal?: AbortSignal): Promise<string> {
  return connectTo(name, world.env, signal).then(
    () => 'connected',
    (error: Error & { kind?: string }) => `${error.kind}: ${error.message}`,
  );
}

/** The processes whose command line has this text; give it what only this test's own processes have. */
function programs(text: string): number[] {
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  const has = (pid: string): boolean => {
    try {
      return readFileSync(`/proc/${pid}/cmdline`, 'latin1').replaceAll('\0', ' ').includes(text);
    } catch {
      return false;
    }
  };
  return pids.filter(has).map(Number);
}

t.test('the program of a jump', async (t) => {
  const argv = (text: string): string => proxyArgv(target(`hostname h\nport 24\n${text}`)).join(' ');
  t.equal(argv('proxyjump j'), 'ssh -o BatchMode=yes -W [h]:24 -- j');
  t.equal(argv('proxyjump bob@j:2222'), 'ssh -o BatchMode=yes -l bob -p 2222 -W [h]:24 -- j');
  t.equal(argv('proxyjump a,b@c:1,d'), 'ssh -o BatchMode=yes -J a,b@c:1 -W [h]:24 -- d');
  t.equal(argv('proxyjump [::1]:22'), 'ssh -o BatchMode=yes -p 22 -W [h]:24 -- ::1');
  t.equal(argv('proxycommand nc %h %p'), '/bin/sh -c exec nc h 24');
});

t.test('what a failed connection says', async (t) => {
  const port = await freePort();
  const signal = never;
  await t.rejects(openSocket(target(`hostname 127.0.0.1\nport ${port}`), {}, signal), {
    kind: 'unreachable',
    message: `nothing listens at 127.0.0.1:${port} (on node1). Check that sshd runs there, and the Port in ~/.ssh/config.`,
  });
  await t.rejects(openSocket(target('hostname no-such-host.invalid'), {}, signal), {
    kind: 'unreachable',
    message: /no-such-host\.invalid \(on node1\)\. Check/,
  });
  await t.rejects(openSocket(target('hostname 127.0.0.1'), {}, AbortSignal.abort()), {
    kind: 'cancelled',
    message: /cancelled/,
  });
  await t.rejects(openSocket(target('proxycommand echo no way >&2; exit 3'), {}, signal), {
    kind: 'unreachable',
    message: /the ProxyCommand gave no connection: no way \(on node1\)/,
  });
  await t.rejects(openSocket(target('proxycommand sleep 61.5\nconnecttimeout 1'), { PATH: '/bin:/usr/bin' }, signal), {
    kind: 'unreachable',
    message: /no answer from node1:22 within 1 s/,
  });
  const aborting = new AbortController();
  setTimeout(() => aborting.abort(), 50);
  const cancelled = openSocket(target('proxycommand sleep 61.5 | cat'), { PATH: '/bin:/usr/bin' }, aborting.signal);
  await t.rejects(cancelled, { kind: 'cancelled', message: /cancelled/ });
  t.ok(await until(() => programs('sleep 61.5').length === 0), 'no program is left');
});

t.test('a server that is no sshd', async (t) => {
  const world = await startSshWorld({ names: ['host1'] });
  t.teardown(() => world.stop());
  const servers: Server[] = [];
  const fake = async (name: string, greeting: string): Promise<void> => {
    const server = createServer((socket) => socket.end(greeting)).listen(0, '127.0.0.1');
    servers.push(server);
    await new Promise((resolve) => server.once('listening', resolve));
    world.configure(`Host ${name}\n  Port ${(server.address() as AddressInfo).port}`);
  };
  t.teardown(() => servers.map((server) => server.close()));
  await fake('closing', '');
  t.match(
    await refusal(world, 'closing'),
    /^unreachable: sshd closed the connection \(on closing\)\. Look into the log/,
  );
  await fake('web', 'HTTP/1.1 400 Bad Request\r\n\r\n');
  t.match(await refusal(world, 'web'), /^unreachable: /);
});

t.test('jump hosts and proxy commands, whose programs die with the connection', async (t) => {
  const world = await startSshWorld({ names: ['jump', 'middle', 'inner'], sshds: 3, via: { inner: 'jump' } });
  t.teardown(() => world.stop());
  const check = async (name: string, jumps: number, program: string): Promise<void> => {
    const before = world.connections();
    const connection = await connectTo(name, world.env);
    const ran = await connection.run('head -c 3000000 /dev/zero');
    t.equal(ran.stdout.length, 3_000_000, 'all data arrives');
    t.equal(world.connections() - before, jumps + 1);
    t.ok(programs(program).length > 0);
    await connection.end();
    t.ok(await until(() => programs(program).length === 0), `no ${program} is left`);
  };
  await check('inner', 1, `-W [127.0.0.1]:${world.port('inner')}`);
  world.configure('Host inner\n  ProxyJump jump,middle');
  await check('inner', 2, `-W [127.0.0.1]:${world.port('inner')}`);
  world.configure('Host inner\n  ProxyJump none\n  ProxyCommand ssh -W %h:%p jump');
  await check('inner', 1, `-W 127.0.0.1:${world.port('inner')}`);
  world.configure('Host inner\n  ProxyJump jump\nHost jump\n  Port 1');
  t.match(
    await refusal(world, 'inner'),
    /^unreachable: the jump host \(jump\) gave no connection: .*Connection refused/,
  );
});

t.test('the proxy program killed from outside', async (t) => {
  const world = await startSshWorld({ names: ['jump', 'inner'], sshds: 2, via: { inner: 'jump' } });
  t.teardown(() => world.stop());
  const connection = await connectTo('inner', world.env);
  const closed = new Promise<void>((resolve) => connection.client.once('close', () => resolve()));
  const running = connection.run('sleep 61.25; echo late');
  t.ok(await until(() => programs('sleep 61.25').length > 0));
  for (const pid of programs(`-F ${world.config} -o BatchMode=yes -W`)) process.kill(pid, 'SIGKILL');
  await closed;
  t.equal((await running).stdout, '');
});

t.test('addresses and algorithms of the configuration', async (t) => {
  const world = await startSshWorld({ names: ['host1'] });
  t.teardown(() => world.stop());
  world.configure(
    'Host host1\n  HostName localhost\n  HostKeyAlias [127.0.0.1]:%p\n  AddressFamily inet\n  BindAddress 127.0.0.7\n  Ciphers aes256-ctr',
  );
  const alias = `[127.0.0.1]:${world.port('host1')}`;
  world.configure(`Host host1\n  HostKeyAlias ${alias}`);
  const connection = await connectTo('host1', world.env);
  t.match((await connection.run('echo $SSH_CONNECTION')).stdout, /^127\.0\.0\.7 /);
  await connection.end();
  world.configure('Host host1\n  Ciphers 3des-cbc');
  t.match(await refusal(world, 'host1'), /sshd and the driver have no C->S cipher in common/);
});

t.test('more keys than sshd tries', async (t) => {
  const world = await startSshWorld({ names: ['host1'], sshdConfig: 'MaxAuthTries 2' });
  t.teardown(() => world.stop());
  const wrong = [1, 2, 3].map((number) => world.makeKey(`wrong${number}`, { authorized: false }));
  world.configure(`Host *\n${wrong.map((key) => `  IdentityFile ${key}\n`).join('')}`);
  t.match(await refusal(world, 'host1'), /sshd gave up after too many keys.*IdentitiesOnly yes/);
});
