import { spawn } from 'node:child_process';
import { chmodSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { openSnapshot } from '../../../lib/command/open-snapshot';
import type { AbsolutePath } from '../../../lib/opennebula/ids';

/** Opens a folder; resolves to what that means: `open`, or the error. */
function open(root: string, name: string, programs = '/bin'): Promise<string> {
  const command = openSnapshot(root as AbsolutePath, join(root, name) as AbsolutePath);
  const [program, ...args] = command.argv;
  const env = { ...process.env, PATH: `${programs}:${process.env.PATH}` };
  const child = spawn(program, args, { env, stdio: 'ignore' });
  return new Promise((resolve) => {
    child.once('close', (code) => {
      const said = command.classify?.({ exitCode: code ?? 1, stdout: '', stderr: '' }, 'server')?.message;
      resolve(said ?? (code === 0 ? 'open' : `exit code ${code}`));
    });
  });
}

t.test('a snapshot is open once its folder holds something; one that is not there is fine', async (t) => {
  // The first pause of the script lasts until the kernel has mounted it.
  const bin = { sleep: '#!/bin/sh\n: >"$(dirname "$0")/../late/vm.xml"\n' };
  const root = t.testdir({ held: { 'vm.xml': '' }, hidden: { '.file': '' }, late: {}, bin });
  chmodSync(join(root, 'bin', 'sleep'), 0o755);
  for (const name of ['held', 'hidden', 'gone']) t.equal(await open(root, name), 'open', name);
  t.equal(await open(root, 'late', join(root, 'bin')), 'open', 'one that comes late is waited for');
});

t.test('one that stays empty was not mounted', async (t) => {
  const root = t.testdir({ empty: {} });
  t.match(await open(root, 'empty'), /^cannot read .*\/empty: the kernel does not mount the snapshot \(on server\)\. /);
});

t.test('one at a time opens a snapshot, and nobody waits for ever', async (t) => {
  const root = t.testdir({ held: { 'vm.xml': '' }, bin: { flock: '#!/bin/sh\nexit 75\n' } });
  const other = spawn('flock', [root, 'sh', '-c', 'echo locked; read end'], { stdio: ['pipe', 'pipe', 'ignore'] });
  await new Promise((resolve) => other.stdout.once('data', resolve));
  const opened = open(root, 'held');
  t.equal(await Promise.race([opened, sleep(1_000, 'it waits')]), 'it waits');
  other.stdin.end();
  t.equal(await opened, 'open');

  chmodSync(join(root, 'bin', 'flock'), 0o755);
  t.match(await open(root, 'held', join(root, 'bin')), /another program has hung in it for more than 60 s/);
});
