import { execFileSync, spawn } from 'node:child_process';
import { chmodSync, renameSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { DriverError } from '../../../lib/errors';
import { AGENT, keysAnswer, MessageSplitter, sshString } from '../../../lib/host/ssh-agent-protocol';
import { startProgram } from '../../../lib/host/ssh-exec';
import { connectTo } from '../../helpers/ssh-connection';
import { startSshWorld, type World } from '../../helpers/sshd';

/** Starts a real ssh-agent with these keys, and returns the environment that names it. */
function startAgent(t: Test, world: World, ...keys: string[]): NodeJS.ProcessEnv {
  const SSH_AUTH_SOCK = join(world.folder, `agent${++agents}`);
  const env = { ...world.env, SSH_AUTH_SOCK };
  const agent = spawn('ssh-agent', ['-D', '-a', SSH_AUTH_SOCK], { stdio: 'ignore', env: world.env });
  t.teardown(() => agent.kill());
  const comes = `for n in $(seq 6000); do [ ! -S ${SSH_AUTH_SOCK} ] || exit 0; sleep 0.01; done`;
  execFileSync('/bin/sh', ['-c', `${comes}; echo 'waited in vain: the socket of ssh-agent' >&2; exit 1`]);
  if (keys.length > 0) execFileSync('ssh-add', ['-q', ...keys], { env, stdio: 'pipe' });
  return env;
}
let agents = 0;

/** The names of keys, as `ssh-add -l` on a host sees its forwarded agent. */
async function seenBy(name: string, env: NodeJS.ProcessEnv): Promise<string> {
  const connection = await connectTo(name, env);
  const { stdout } = await connection.run('ssh-add -l');
  await connection.end();
  return stdout;
}

async function refusal(name: string, env: NodeJS.ProcessEnv): Promise<string> {
  return connectTo(name, env).then(
    () => 'connected',
    (error: Error & { kind?: string }) => `${error.kind}: ${error.message}`,
  );
}

/** The commands that a refused login is mended with. */
async function mend(name: string, env: NodeJS.ProcessEnv): Promise<string[] | undefined> {
  const refused = await connectTo(name, env).then(
    () => undefined,
    (error: unknown) => error,
  );
  return refused instanceof DriverError ? refused.mend?.commands.map(({ command }) => command) : undefined;
}

function print(key: string): string {
  return execFileSync('ssh-keygen', ['-lf', `${key}.pub`], { encoding: 'utf8' }).split(' ')[1] as string;
}

t.test('without ssh-agent, the key file logs in and is forwarded', async (t) => {
  const world = await startSshWorld({ names: ['host1', 'server'], sshds: 2 });
  t.teardown(() => world.stop());
  const connection = await connectTo('host1', world.env);
  t.match((await connection.run('ssh-add -l')).stdout, print(world.key));
  const hop = await connection.run('ssh server "echo there; ssh host1 echo and back"');
  t.same([hop.code, hop.stdout], [0, 'there\nand back\n'], hop.stderr);
  const many = await Promise.all([1, 2, 3].map((number) => connection.run(`ssh server echo ${number}`)));
  t.same(
    many.map(({ stdout }) => stdout),
    ['1\n', '2\n', '3\n'],
    'several at once',
  );
  t.notMatch((await connection.run('ssh-add -D; ssh-add -x </dev/null')).code, 0, 'what it cannot do is refused');
  t.match((await connection.run('ssh-add -l')).stdout, print(world.key));
  await connection.end();
  t.equal(world.connections('host1'), 2);
});

t.test('keys of every type sign, here and forwarded', async (t) => {
  const world = await startSshWorld({ names: ['host1', 'server'] });
  t.teardown(() => world.stop());
  for (const type of ['rsa', 'ecdsa', 'ed25519'] as const) {
    const key = world.makeKey(`own-${type}`, { type });
    world.configure(`Host host1\n  IdentityFile ${key}\n`);
    const name = `alone-${type}`;
    world.configure(
      `Host ${name}\n  IdentityFile ${key}\n  Port ${world.port('host1')}\n  UserKnownHostsFile ${world.knownHosts('host1')}\n`,
    );
    renameSync(world.key, `${world.key}.away`);
    const connection = await connectTo(name, world.env);
    for (let round = 0; round < 3; round++) t.equal((await connection.run('ssh server true')).code, 0, type);
    await connection.end();
    renameSync(`${world.key}.away`, world.key);
  }
  for (const [type, algorithm] of [
    ['rsa', 'rsa-sha2-512'],
    ['rsa', 'rsa-sha2-256'],
  ] as const) {
    const connection = await connectTo(`alone-${type}`, world.env);
    const hop = await connection.run(`ssh -o PubkeyAcceptedAlgorithms=${algorithm} server true`);
    t.equal(hop.code, 0, `${algorithm}: ${hop.stderr}`);
    await connection.end();
  }
});

t.test('a running ssh-agent logs in and is forwarded', async (t) => {
  const world = await startSshWorld({ names: ['host1', 'server'] });
  t.teardown(() => world.stop());
  const env = startAgent(t, world, world.key);
  world.configure('Host *\n  IdentityFile none\n  IdentitiesOnly no');
  rmSync(world.key);
  const connection = await connectTo('host1', env);
  t.match((await connection.run('ssh-add -l')).stdout, print(world.key));
  t.equal((await connection.run('ssh server true')).code, 0);
  await connection.end();
  t.match(await refusal('host1', world.env), /there was no key to offer/);
});

t.test('keys of the agent and of files together', async (t) => {
  const world = await startSshWorld({ names: ['host1', 'server'] });
  t.teardown(() => world.stop());
  const unrelated = world.makeKey('unrelated', { authorized: false });
  const env = startAgent(t, world, unrelated);
  const seen = await seenBy('host1', env);
  t.ok(
    seen.indexOf(print(unrelated)) < seen.indexOf(print(world.key)),
    'IdentitiesOnly: both are forwarded all the same',
  );
  t.match(seen, print(unrelated));
  t.notMatch(world.log(), `Failed publickey for root from 127.0.0.1 .*${print(unrelated)}`);
  world.configure('Host *\n  IdentitiesOnly no');
  t.match(await seenBy('host1', env), print(world.key), 'the agent is first, then the file');
  const connection = await connectTo('host1', env);
  t.equal((await connection.run('ssh server true')).code, 0, 'the host can use the key of the file');
  await connection.end();
  world.configure('Host *\n  IdentityAgent none');
  t.notMatch(await seenBy('host1', env), print(unrelated));
  t.match(
    await seenBy('host1', { ...world.env, SSH_AUTH_SOCK: '/nowhere' }),
    print(world.key),
    'an agent that is gone',
  );
});

t.test('an encrypted key: with agent it works, without it the error says so', async (t) => {
  const world = await startSshWorld({ names: ['host1'] });
  t.teardown(() => world.stop());
  const secret = world.makeKey('secret', { passphrase: 'abc', authorized: true });
  world.configure(`Host *\n  IdentityFile ${secret}`);
  rmSync(world.key);
  const message = await refusal('host1', world.env);
  t.match(
    message,
    /^unreachable: the login of \w+ is refused: there was no key to offer; not used: \S+secret: it is encrypted, and no agent/,
  );
  t.match(message, /\(on host1\)\. Give the user who runs the driver a key/);
  t.strictSame(await mend('host1', world.env), [`eval "$(ssh-agent)" && ssh-add ${secret}`]);
  t.strictSame(await mend('host1', startAgent(t, world)), [`ssh-add ${secret}`]);
  execFileSync('ssh-keygen', ['-q', '-p', '-P', 'abc', '-N', '', '-f', secret]);
  const env = startAgent(t, world, secret);
  execFileSync('ssh-keygen', ['-q', '-p', '-P', '', '-N', 'abc', '-f', secret]);
  await (await connectTo('host1', env)).end();
  rmSync(`${secret}.pub`);
  await (await connectTo('host1', env)).end();
});

t.test('no key at all: a new one is made where ssh looks for it, and without questions', async (t) => {
  const world = await startSshWorld({ names: ['host1'] });
  t.teardown(() => world.stop());
  rmSync(world.key);
  const there = `${userInfo().username}@host1`;
  t.strictSame(await mend('host1', world.env), ['ssh-keygen -t ed25519', `ssh-copy-id ${there}`], 'its .pub is there');
  rmSync(`${world.key}.pub`);
  const [make = '', introduce] = (await mend('host1', world.env)) ?? [];
  t.equal(introduce, `ssh-copy-id -i ${world.key} ${there}`);
  execFileSync('sh', ['-c', make], { stdio: ['ignore', 'pipe', 'pipe'] });
  t.match(await refusal('host1', world.env), `offered ssh-ed25519 ${print(world.key)} (${world.key})`);
});

t.test('what was not used and why', async (t) => {
  const world = await startSshWorld({ names: ['host1'] });
  t.teardown(() => world.stop());
  const open = world.makeKey('open', { authorized: false });
  const mine = world.makeKey('mine', { authorized: false });
  const old = world.makeKey('old', { type: 'rsa' });
  execFileSync('ssh-keygen', ['-q', '-p', '-m', 'PKCS8', '-P', '', '-N', '', '-f', old]);
  chmodSync(open, 0o644);
  execFileSync('ssh-keygen', ['-q', '-s', mine, '-I', 'id', '-n', 'root', `${mine}.pub`]);
  world.configure(
    `Host *\n  IdentityFile ${open}\n  IdentityFile ${mine}\n  IdentityFile ${old}\n  PKCS11Provider /lib/p11.so`,
  );
  rmSync(world.key);
  rmSync(`${world.key}.pub`);
  const message = await refusal('host1', world.env);
  t.match(message, `offered ssh-ed25519 ${print(mine)} (${mine})`);
  t.match(message, `${open}: others can read it, so ssh refuses it too; run \`chmod 600 ${open}\``);
  t.match(message, `${old}: its format is one that the driver cannot read; \`ssh-keygen -p\` rewrites it`);
  t.match(message, `${mine}-cert.pub: ssh2 cannot log in with a certificate`);
  t.match(message, 'PKCS11Provider /lib/p11.so (only through an agent: ssh-add -s)');
  t.notMatch(message, 'GSSAPI');
});

t.test('an agent that does not sign: the next key is tried', async (t) => {
  const world = await startSshWorld({ names: ['host1'] });
  t.teardown(() => world.stop());
  const blobs = ['ed25519', 'ecdsa', 'rsa'] as const;
  const keys = blobs.map((type) => {
    const [, base64] = execFileSync('cat', [`${world.makeKey(`token-${type}`, { type })}.pub`], {
      encoding: 'utf8',
    }).split(' ');
    return { blob: Buffer.from(base64 as string, 'base64'), comment: `token ${type}` };
  });
  const socket = join(world.folder, 'stubborn');
  const server = createServer((connection) => {
    const splitter = new MessageSplitter();
    connection.on('data', (chunk) => {
      for (const message of splitter.push(chunk)) {
        connection.write(sshString(message[0] === AGENT.listKeys ? keysAnswer(keys) : Buffer.from([AGENT.failure])));
      }
    });
  }).listen(socket);
  t.teardown(() => server.close());
  world.configure('Host *\n  IdentitiesOnly no');
  const env = { ...world.env, SSH_AUTH_SOCK: socket };
  await (await connectTo('host1', env)).end();
  rmSync(world.key);
  t.match(await refusal('host1', env), /the ssh-agent did not sign \(it refused\)/);
});

t.test('a host that forbids forwarding still runs programs', async (t) => {
  const world = await startSshWorld({ names: ['host1'], sshdConfig: 'AllowAgentForwarding no' });
  t.teardown(() => world.stop());
  const { client, end } = await connectTo('host1', world.env, undefined, { agentForward: false });
  const channel = await startProgram(client, 'exit 7', true);
  t.equal(await new Promise((resolve) => channel.once('exit', resolve)), 7);
  await end();
});
