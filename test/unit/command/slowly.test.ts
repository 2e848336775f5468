import { execFileSync, spawnSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { sha256Slowly } from '../../../lib/command/checksum';
import type { Command } from '../../../lib/command/command';
import { readThrough } from '../../../lib/command/read-through';
import { receiver } from '../../../lib/command/receiving';
import type { AbsolutePath } from '../../../lib/opennebula/ids';

const folder = mkdtempSync(join(tmpdir(), 'one-backup-unit-'));
t.teardown(() => rmSync(folder, { recursive: true, force: true }));

/** Runs it under a shell, and returns its exit code and its output. */
function run(shell: string, { argv: [, ...words] }: Command<unknown>): { status: number | null; stdout: string } {
  return spawnSync(shell, words, { encoding: 'utf8' });
}

t.test('what is read with a limit of its rate', async (t) => {
  const [good, other, socket] = ['good', 'other', 'socket'].map((name) => join(folder, name)) as AbsolutePath[] as [
    AbsolutePath,
    AbsolutePath,
    AbsolutePath,
  ];
  const bytes = randomBytes(200_000);
  writeFileSync(good, bytes);
  writeFileSync(other, '');
  const server = createServer().listen(socket); // its size can be told, but not even root can open it
  await new Promise((resolve) => server.once('listening', resolve));
  t.teardown(() => server.close());
  mkdirSync(join(folder, 'sub'));
  const unreadable = join(folder, 'sub') as AbsolutePath; // it can be opened, but not read
  const hash = (content: Buffer | string): string => createHash('sha256').update(content).digest('hex');
  for (const shell of ['dash', 'bash']) {
    const sums = run(shell, sha256Slowly([good, other], 100_000));
    t.equal(sums.status, 0, shell);
    t.strictSame(sha256Slowly([good, other], 1).parse({ exitCode: 0, stderr: '', ...sums }), [hash(bytes), hash('')]);
    t.equal(run(shell, readThrough([good, other], 100_000)).status, 0);
    for (const bad of [socket, unreadable, join(folder, 'missing') as AbsolutePath]) {
      t.not(run(shell, sha256Slowly([bad, good], 100_000)).status, 0, `${shell}: no checksum of ${bad}`);
      t.not(run(shell, readThrough([bad, good], 100_000)).status, 0, `${shell}: ${bad} was not read`);
    }
  }
});

t.test('a receiver starts where its folder is, and makes none', async (t) => {
  const at = (name: string): string => `${receiver(join(folder, name) as AbsolutePath)} --version`;
  mkdirSync(join(folder, '.receiving-a'));
  t.match(execFileSync('sh', ['-c', at('.receiving-a')], { encoding: 'utf8' }), /^rsync +version/);
  t.not(spawnSync('sh', ['-c', at('.receiving-b')]).status, 0);
  t.notOk(readdirSync(folder).includes('.receiving-b'));
});
