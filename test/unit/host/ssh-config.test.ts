import t from 'tap';
import { algorithmsFor } from '../../../lib/host/ssh-algorithms';
import { parseSshG, resolveSsh, type SshTarget, sshTarget } from '../../../lib/host/ssh-config';
import type { HostName, UserName } from '../../../lib/opennebula/ids';
import { startSshWorld } from '../../helpers/sshd';

const never = new AbortController().signal;
const host = 'node1' as HostName;
const local = { user: 'oneadmin', uid: 9869, home: '/var/lib/one' };

function target(text: string, env: NodeJS.ProcessEnv = {}): SshTarget {
  return sshTarget(host, parseSshG(text), env, local);
}

t.test('parseSshG keeps repeated options in order and values with blanks', async (t) => {
  const options = parseSshG('user bob\nidentityfile ~/a\nIdentityFile /b c\nproxycommand nc %h  %p\n\nnonsense\n');
  t.same(options.get('identityfile'), ['~/a', '/b c']);
  t.same(options.get('proxycommand'), ['nc %h  %p']);
  t.notOk(options.has('nonsense'));
});

t.test('files: ~, environment and tokens are expanded, `none` is nothing', async (t) => {
  const text = [
    'hostname 10.0.0.7',
    'port 2222',
    'user root',
    'hostkeyalias %n.alias',
    'identityfile ~/.ssh/%h_%r_%p',
    'identityfile %d/100%%',
    // biome-ignore lint/suspicious/noTemplateCurlyInString: that is how ssh_config writes it
    'identityfile ${KEYS}/x_%u_%i',
    'userknownhostsfile ~/kh_%k /tmp/kh',
    'globalknownhostsfile none',
    'certificatefile ~/c-cert.pub',
  ].join('\n');
  const found = target(text, { KEYS: '/keys' });
  t.same(found.auth.identityFiles, [
    '/var/lib/one/.ssh/10.0.0.7_root_2222',
    '/var/lib/one/100%',
    '/keys/x_oneadmin_9869',
  ]);
  t.same(found.hostKey.userFiles, ['/var/lib/one/kh_node1.alias', '/tmp/kh']);
  t.same(found.hostKey.globalFiles, []);
  t.equal(found.hostKey.name, 'node1.alias');
  t.same(found.auth.certificateFiles, ['/var/lib/one/c-cert.pub']);
  t.same(target('identityfile none').auth.identityFiles, []);
});

t.test('the agent: a path, a variable, SSH_AUTH_SOCK or none', async (t) => {
  const env = { SSH_AUTH_SOCK: '/run/agent', OTHER: '/run/other' };
  t.equal(target('', env).auth.agentSocket, '/run/agent');
  t.equal(target('identityagent SSH_AUTH_SOCK', env).auth.agentSocket, '/run/agent');
  t.equal(target('identityagent $OTHER', env).auth.agentSocket, '/run/other');
  t.equal(target('identityagent $UNSET', env).auth.agentSocket, undefined);
  t.equal(target('identityagent ~/agent', env).auth.agentSocket, '/var/lib/one/agent');
  t.equal(target('identityagent none', env).auth.agentSocket, undefined);
  t.equal(target('', {}).auth.agentSocket, undefined);
});

t.test('the route: direct, jump hosts, command', async (t) => {
  t.same(target('proxyjump none').route, { kind: 'direct' });
  t.same(target('proxyjump a,bob@b:2222').route, { kind: 'jump', hops: ['a', 'bob@b:2222'] });
  const command = target("hostname h\nport 24\nuser u\nproxycommand nc -X '%n' %h %p %r %%").route;
  t.same(command, { kind: 'command', command: "nc -X 'node1' h 24 u %" });
});

t.test('limits: ours where ssh has none, and where only Debian sets one', async (t) => {
  const plain = { connectTimeoutMs: 20_000, aliveIntervalMs: 15_000, aliveCountMax: 4 };
  t.same(target('connecttimeout none\nserveraliveinterval 0\nserveralivecountmax 3').timing, plain);
  t.same(target('batchmode yes\nserveraliveinterval 300').timing, plain);
  t.same(target('connecttimeout 5\nserveraliveinterval 30\nserveralivecountmax 2').timing, {
    connectTimeoutMs: 5_000,
    aliveIntervalMs: 30_000,
    aliveCountMax: 2,
  });
});

t.test('StrictHostKeyChecking', async (t) => {
  const accepts = (value: string): boolean => target(`stricthostkeychecking ${value}`).hostKey.acceptUnknown;
  for (const value of ['ask', 'yes', 'true']) t.notOk(accepts(value), value);
  for (const value of ['accept-new', 'no', 'off', 'false']) t.ok(accepts(value), value);
  t.notOk(target('').hostKey.acceptUnknown);
});

t.test('algorithms: what both can do, in the configured order', async (t) => {
  const chosen = algorithmsFor(
    target('ciphers aes256-ctr,aes128-gcm@openssh.com\nmacs umac-64@openssh.com,hmac-sha2-512'),
    [],
  );
  t.same(chosen.cipher, ['aes256-ctr', 'aes128-gcm@openssh.com']);
  t.same(chosen.hmac, ['hmac-sha2-512']);
  const unchosen =
    'ciphers chacha20-poly1305@openssh.com,aes128-ctr,aes192-ctr,aes256-ctr,aes128-gcm@openssh.com,aes256-gcm@openssh.com';
  t.equal(algorithmsFor(target(unchosen), []).cipher[0], 'aes128-gcm@openssh.com');
  const types =
    'hostkeyalgorithms ssh-ed25519-cert-v01@openssh.com,ssh-ed25519,ecdsa-sha2-nistp256,rsa-sha2-512,rsa-sha2-256';
  t.same(algorithmsFor(target(types), ['ssh-rsa']).serverHostKey, [
    'rsa-sha2-512',
    'rsa-sha2-256',
    'ssh-ed25519',
    'ecdsa-sha2-nistp256',
  ]);
  t.throws(() => algorithmsFor(target('ciphers aes999'), []), {
    kind: 'unreachable',
    message: /Ciphers allows only aes999/,
  });
});

t.test('resolveSsh asks the ssh of the PATH', async (t) => {
  const world = await startSshWorld({ names: ['node1', 'inner'], via: { inner: 'node1' } });
  t.teardown(() => world.stop());
  const found = await resolveSsh(host, undefined, world.env, never);
  t.equal(found.port, world.port('node1'));
  t.equal(found.hostname, '127.0.0.1');
  t.equal(found.hostKey.name, `[127.0.0.1]:${world.port('node1')}`);
  t.same(found.auth.identityFiles, [world.key]);
  t.ok(found.auth.identitiesOnly);
  t.ok(found.algorithms.kex.length > 3);
  t.equal((await resolveSsh(host, 'other' as UserName, world.env, never)).user, 'other');
  t.same((await resolveSsh('inner' as HostName, undefined, world.env, never)).route, { kind: 'jump', hops: ['node1'] });

  world.configure('Host node1\n  Port abc\n');
  await t.rejects(resolveSsh(host, undefined, world.env, never), {
    kind: 'unreachable',
    message: /ssh refuses its configuration: .*line 2: Bad (port|number)/i,
  });
  await t.rejects(resolveSsh(host, undefined, { PATH: '/nowhere' }, never), {
    kind: 'noProgram',
    message: /ssh is not on the PATH/,
  });
  await t.rejects(resolveSsh(host, undefined, world.env, AbortSignal.abort()), {
    kind: 'cancelled',
    message: /cancelled/,
  });
});
