import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { reportOf, sum, totalsOf } from './tap-report';
import { type FileResult, runTestFile } from './test-file';
import { waitFor } from './waits';

const ROOT = join(__dirname, '../..');

/** Runs a test file with this text; it stands in the project, whose packages it imports. */
async function run(name: string, text: string, limitMs = 60_000): Promise<FileResult> {
  const folder = t.testdir({ [name]: `import t from 'tap';\n${text}\n` });
  const signal = new AbortController().signal;
  return runTestFile(join(folder, name), { root: ROOT, limitMs, env: { WORD: 'told' }, signal });
}

t.test('a file that passes', async (t) => {
  const result = await run(
    'good.ts',
    `t.test('inner', async (t) => { t.ok(true); t.equal(process.env.WORD, 'told'); });`,
  );
  t.match(result, { failure: undefined, complaints: '' });
  t.strictSame(totalsOf(result), { pass: 2, fail: 0, skip: 0, todo: 0 });
  t.match(reportOf(result, '1/2'), [/^ok 1\/2 - .*good\.ts # [0-9.]+ s$/]);
  t.equal(reportOf(result, '1/2').length, 1);
});

t.test('what is skipped is counted and told', async (t) => {
  const result = await run('skips.ts', `t.ok(1); t.test('later', { skip: 'no machine' }, async () => {});`);
  t.strictSame(totalsOf(result), { pass: 1, fail: 0, skip: 1, todo: 0 });
  t.match(reportOf(result, '1/1')[1], /later # SKIP no machine/);
});

t.test('no failure is lost', async (t) => {
  const cases: readonly [name: string, text: string, says: RegExp, limitMs?: number][] = [
    ['wrong.ts', `t.test('inner', async (t) => { t.ok(1); t.equal(1, 2, 'sums up'); });`, /not ok 2 - sums up/],
    ['throws.ts', `t.ok(1); throw new Error('thrown by the file');`, /thrown by the file/],
    ['crash.ts', `t.ok(1); process.kill(process.pid, 'SIGKILL');`, /ended by SIGKILL/],
    ['leaves.ts', `t.ok(1); process.reallyExit(0);`, /ended before all its tests had/],
    ['empty.ts', '', /./],
    ['no-test.ts', 'void t;', /./],
    ['waits.ts', `t.test('for ever', () => new Promise(() => setInterval(() => {}, 1000)));`, /timeout/, 4_000],
    ['typo.ts', 'const = 1;', /stderr: .*ERROR: Expected identifier/],
  ];
  for (const [name, text, says, limitMs] of cases) {
    const result = await run(name, text, limitMs);
    t.ok(totalsOf(result).fail >= 1, `${name} is a failure`);
    const [first, ...rest] = reportOf(result, '1/1');
    t.match(first, /^not ok 1\/1 - /);
    t.match(rest.join('\n'), says, `${name} says why`);
  }
});

t.test('a stopped file removes what it made, and nothing of it goes on', async (t) => {
  const folder = t.testdir({
    'long.ts': `import { spawn } from 'node:child_process';
      import { rmSync, writeFileSync } from 'node:fs';
      import t from 'tap';
      const { pid } = spawn('sleep', ['600'], { stdio: 'ignore' });
      process.on('exit', () => rmSync(__dirname + '/made'));
      t.test('long', () => new Promise(() => setInterval(() => writeFileSync(__dirname + '/made', String(pid)), 100)));`,
  });
  const [made, stop] = [join(folder, 'made'), new AbortController()];
  const running = runTestFile(join(folder, 'long.ts'), { root: ROOT, limitMs: 600_000, env: {}, signal: stop.signal });
  await waitFor('something made', () => existsSync(made) && readFileSync(made, 'utf8') !== '');
  const pid = Number(readFileSync(made, 'utf8'));
  stop.abort();
  t.match(await running, { failure: 'it was stopped' });
  t.notOk(existsSync(made));
  const line = `/proc/${pid}/cmdline`; // empty for one that has ended and that nobody asked after
  await waitFor('its end', () => !existsSync(line) || readFileSync(line, 'utf8') === '');
});

t.test('totals add up', async (t) => {
  const one = { pass: 1, fail: 2, skip: 3, todo: 4 };
  t.strictSame(sum([one, one]), { pass: 2, fail: 4, skip: 6, todo: 8 });
});
