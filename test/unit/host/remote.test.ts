import { existsSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import type { Command } from '../../../lib/command/command';
import { RealHosts } from '../../../lib/host/hosts';
import type { AbsolutePath, HostName } from '../../../lib/opennebula/ids';
import { startSshWorld } from '../../helpers/sshd';
import { waitFor } from '../../helpers/waits';

t.test('an abort while it connects does not keep the cleaning up from connecting', async (t) => {
  const world = await startSshWorld({ names: ['server'] });
  t.teardown(() => world.stop());
  const mark = join(world.folder, 'asked');
  const pass = `s=require("net").connect(${world.port('server')},"127.0.0.1");process.stdin.pipe(s).pipe(process.stdout)`;
  // the first connection never comes about
  world.configure(
    `Host server\n  ProxyCommand sh -c 'mkdir ${mark} 2>/dev/null && exec sleep 60; exec ${process.execPath} -e "${pass.replaceAll('"', '\\"')}"'\n`,
  );
  const abort = new AbortController();
  const settings = { env: world.env, signal: abort.signal, trace: () => {} };
  const hosts = new RealHosts({ ...settings, supervision: { stallSeconds: 0, marker: undefined } });
  t.teardown(() => hosts.close());
  const server = await hosts.at('server' as HostName);
  const listed = server.files.list(world.folder as AbsolutePath, []);
  const refused = listed.then(
    () => 'listed',
    ({ kind }) => kind,
  );
  await waitFor('the first connection is under way', () => existsSync(mark));
  abort.abort();
  t.equal(await refused, 'cancelled');
  for (const look of ['it connects', 'it stays connected'])
    t.ok(
      (await server.files.list(world.folder as AbsolutePath, [])).some(({ name }) => name === 'asked'),
      look,
    );
  t.equal(world.connections('server'), 1, 'and once');
});

t.test('only a program that logs in elsewhere sees the agent', async (t) => {
  const world = await startSshWorld({ names: ['host1'] });
  t.teardown(() => world.stop());
  const settings = { env: world.env, signal: new AbortController().signal, trace: () => {} };
  const hosts = new RealHosts({ ...settings, supervision: { stallSeconds: 0, marker: undefined } });
  t.teardown(() => hosts.close());
  const host = await hosts.at('host1' as HostName);
  const look: Command<string> = {
    argv: ['sh', '-c', 'echo "agent: $SSH_AUTH_SOCK"'],
    purpose: 'look for an agent',
    parse: ({ stdout }) => stdout,
    dryRun: '',
  };
  t.equal(await host.run(look), 'agent: \n');
  t.match(await host.run({ ...look, logsInElsewhere: true }), /^agent: \//); // and from then on sshd gives it to all of the connection
});
