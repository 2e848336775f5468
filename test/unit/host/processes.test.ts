import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { listProcesses, runsScript, terminate } from '../../../lib/host/processes';

/** Starts a shell that waits, with these arguments, of which the first two are its own name and that of its script. */
async function start(t: Test, [name, script, ...more]: [string, string, ...string[]]): Promise<ChildProcess> {
  const folder = t.testdir();
  writeFileSync(join(folder, script), 'echo ready; read line');
  const child = spawn('sh', [script, ...more], { argv0: name, cwd: folder, stdio: ['pipe', 'pipe', 'ignore'] });
  t.teardown(() => child.kill('SIGKILL'));
  await once(child.stdout as NodeJS.ReadableStream, 'data');
  return child;
}

const found = async ({ pid }: ChildProcess) => (await listProcesses()).find((one) => one.pid === pid);

t.test('a script is known by its name: as node runs it, and while env(1) becomes node', async (t) => {
  for (const words of [
    ['node', 'backup', 'host1:/x/7'],
    ['/usr/bin/env', 'node', '/one/backup', 'host1:/x/7'],
  ] as [string, string, ...string[]][]) {
    const one = await found(await start(t, words));
    t.equal(one?.argv[0], 'node', words.join(' '));
    t.equal(one?.argv.at(-1), 'host1:/x/7');
    t.ok(one && runsScript(one, ['backup']));
    t.notOk(one && runsScript(one, ['prebackup']));
  }
  const other = await found(await start(t, ['vi', 'notes', '/one/backup']));
  t.notOk(other && runsScript(other, ['backup']), 'a later argument is no script');
});

t.test('a signal', async (t) => {
  const child = await start(t, ['sh', 'script']);
  const ended = once(child, 'exit');
  const one = await found(child);
  if (one === undefined) throw new Error('it is not listed');
  terminate(one);
  t.same((await ended)[1], 'SIGTERM');
  terminate(one);
});
