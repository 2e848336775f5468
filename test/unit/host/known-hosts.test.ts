import { execFileSync } from 'node:child_process';
import { appendFileSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { judgeHostKey, type KnownKey, parseFound } from '../../../lib/host/known-hosts';
import { connectTo } from '../../helpers/ssh-connection';
import { startSshWorld, type World } from '../../helpers/sshd';

const plainKey = (marker: KnownKey['marker'], text: string): KnownKey => {
  return { marker, type: 'ssh-ed25519', blob: Buffer.from(text), file: 'f' };
};
const key = Buffer.from('key');

function sh(world: World, line: string): string {
  return execFileSync('/bin/sh', ['-c', line], { env: world.env, encoding: 'utf8', stdio: 'pipe' });
}

async function works(world: World, name: string): Promise<void> {
  const connection = await connectTo(name, world.env);
  await connection.end();
}

/** The first command in backquotes of a message that begins so: what the operator is told to run. */
function advised(message: string, start: string): string {
  const commands = [...message.matchAll(/`([^`]+)`/g)].map(([, command]) => command as string);
  return commands.find((command) => command.startsWith(start)) ?? '';
}

async function refusal(world: World, name: string): Promise<string> {
  return connectTo(name, world.env).then(
    () => 'connected',
    (error: Error & { kind?: string }) => `${error.kind}: ${error.message}`,
  );
}

t.test('parseFound knows markers and passes over comments', async (t) => {
  const found = parseFound(
    '# Host h found: line 1 \nh,[h]:22 ssh-rsa QUJD note\n@revoked * ssh-rsa QUJD\n@cert-authority * ssh-rsa QUJD\n',
    'f',
  );
  t.same(
    found.map(({ marker, type, blob }) => [marker, type, blob.toString()]),
    [
      ['none', 'ssh-rsa', 'ABC'],
      ['revoked', 'ssh-rsa', 'ABC'],
      ['authority', 'ssh-rsa', 'ABC'],
    ],
  );
});

t.test('judgeHostKey judges as ssh does', async (t) => {
  const judge = (keys: KnownKey[], portless: KnownKey[] = []): string => judgeHostKey({ keys, portless }, key);
  t.equal(judge([]), 'unknown');
  t.equal(judge([plainKey('authority', 'ca')]), 'unknown');
  t.equal(judge([plainKey('none', 'other'), plainKey('none', 'key')]), 'ok');
  t.equal(judge([plainKey('none', 'other')]), 'changed');
  t.equal(judge([plainKey('none', 'key'), plainKey('revoked', 'key')]), 'revoked');
  t.equal(judge([], [plainKey('none', 'key')]), 'ok');
  t.equal(judge([], [plainKey('none', 'other')]), 'unknown', 'a key of the same name on another port');
});

t.test('a known key, plain and hashed', async (t) => {
  const world = await startSshWorld({ names: ['host1'] });
  t.teardown(() => world.stop());
  await works(world, 'host1');
  sh(world, `ssh-keygen -q -H -f ${world.knownHosts('host1')} && rm ${world.knownHosts('host1')}.old`);
  t.match(readFileSync(world.knownHosts('host1'), 'utf8'), /^\|1\|/);
  await works(world, 'host1');
});

t.test('an unknown key is refused with the command that mends it', async (t) => {
  const world = await startSshWorld({ names: ['stranger'], unknown: ['stranger'] });
  t.teardown(() => world.stop());
  const message = await refusal(world, 'stranger');
  const real = sh(world, `ssh-keygen -lf ${join(world.folder, 'sshd0.ed25519')}`).split(' ')[1] as string;
  t.match(message, /^unreachable: the host key SHA256:\S+ \(ssh-ed25519\) is not known \(on stranger\)/);
  t.ok(message.includes(real), 'the fingerprint is that of the host');
  t.equal(readFileSync(world.knownHosts('stranger'), 'utf8'), '', 'nothing is recorded');
  sh(world, advised(message, 'ssh-keyscan'));
  await works(world, 'stranger');
});

t.test('a file that cannot be read is not taken for one without the key', async (t) => {
  const world = await startSshWorld({ names: ['host1'] });
  t.teardown(() => world.stop());
  const file = world.knownHosts('host1');
  rmSync(file);
  symlinkSync(file, file); // not even root can read it
  t.match(await refusal(world, 'host1'), /known_hosts\S* cannot be read, where the host key .*: `chown \S+: \S+`\.$/);
});

t.test('accept-new and no record the key as ssh would', async (t) => {
  const world = await startSshWorld({ names: ['a', 'b', 'c'], unknown: ['a', 'b', 'c'] });
  t.teardown(() => world.stop());
  const missing = join(world.folder, 'dot-ssh', 'known_hosts');
  world.configure(
    [
      'Host a\n  StrictHostKeyChecking accept-new\n  HashKnownHosts no',
      'Host b\n  StrictHostKeyChecking no\n  HashKnownHosts yes',
      `Host c\n  StrictHostKeyChecking accept-new\n  UserKnownHostsFile ${missing}`,
    ].join('\n'),
  );
  writeFileSync(world.knownHosts('a'), '# no newline at the end');
  for (const name of ['a', 'b', 'c']) await works(world, name);
  t.match(
    readFileSync(world.knownHosts('a'), 'utf8'),
    /^# no newline at the end\n\[127\.0\.0\.1\]:\d+ ssh-ed25519 AAAA\S+\n$/,
  );
  t.match(readFileSync(world.knownHosts('b'), 'utf8'), /^\|1\|\S+ ssh-ed25519 AAAA\S+\n$/);
  t.equal(statSync(missing).mode & 0o777, 0o600);
  t.equal(statSync(join(world.folder, 'dot-ssh')).mode & 0o777, 0o700);
  for (const name of ['a', 'b', 'c']) {
    sh(world, `ssh -o StrictHostKeyChecking=yes ${name} true`);
    const before = readFileSync(world.knownHosts(name), 'utf8');
    await works(world, name);
    t.equal(readFileSync(world.knownHosts(name), 'utf8'), before, 'recorded once');
  }
  world.configure('Host a\n  UserKnownHostsFile /dev/null');
  await works(world, 'a');
});

t.test('a changed key is always refused, and mended as the message says', async (t) => {
  const world = await startSshWorld({ names: ['host1'], unknown: ['host1'] });
  t.teardown(() => world.stop());
  world.configure('Host host1\n  StrictHostKeyChecking no');
  const other = readFileSync(`${world.makeKey('other', { type: 'ecdsa', authorized: false })}.pub`, 'utf8');
  writeFileSync(world.knownHosts('host1'), `[127.0.0.1]:${world.port('host1')} ${other}`);
  const message = await refusal(world, 'host1');
  t.match(message, /^unreachable: the host key has CHANGED: it is now SHA256:/);
  sh(world, advised(message, 'ssh-keygen -R'));
  sh(world, advised(message, 'ssh-keyscan'));
  await works(world, 'host1');
});

t.test('@revoked is refused, @cert-authority is mentioned', async (t) => {
  const world = await startSshWorld({ names: ['host1', 'signed'], unknown: ['signed'] });
  t.teardown(() => world.stop());
  const file = world.knownHosts('host1');
  const [, ...hostKey] = readFileSync(file, 'utf8').trim().split(' ');
  writeFileSync(world.knownHosts('signed'), `@cert-authority * ${hostKey.join(' ')}\n`);
  t.match(await refusal(world, 'signed'), /is not known \(known_hosts trusts a certificate authority/);
  appendFileSync(file, `@revoked * ${hostKey.join(' ')}\n`);
  t.match(
    await refusal(world, 'host1'),
    /^unreachable: the host key SHA256:\S+ \(ssh-ed25519\) is marked @revoked in \//,
  );
});

t.test('the type of key that is known is the one asked for', async (t) => {
  const world = await startSshWorld({ names: ['host1'], hostKeys: ['ed25519', 'ecdsa', 'rsa'] });
  t.teardown(() => world.stop());
  const file = world.knownHosts('host1');
  const lines = readFileSync(file, 'utf8').trim().split('\n');
  t.equal(lines.length, 3);
  for (const line of lines) {
    writeFileSync(file, `${line}\n`);
    await works(world, 'host1');
  }
});

t.test('other names: HostKeyAlias, and the name without its port', async (t) => {
  const world = await startSshWorld({ names: ['host1', 'aliased'] });
  t.teardown(() => world.stop());
  const file = world.knownHosts('host1');
  const [, ...hostKey] = readFileSync(file, 'utf8').trim().split(' ');
  writeFileSync(file, `127.0.0.1 ${hostKey.join(' ')}\n`);
  await works(world, 'host1');
  world.configure('Host aliased\n  HostKeyAlias The-Alias');
  t.match(await refusal(world, 'aliased'), /is not known.*`ssh -o StrictHostKeyChecking=accept-new aliased true`/);
  writeFileSync(file, `the-alias ${hostKey.join(' ')}\n`);
  await works(world, 'aliased');
});
