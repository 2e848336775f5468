/**
 * Builds the scripts and runs the tests.
 *   tsx test/run.ts [--no-build] [--soak] [PART-OF-A-FILE-NAME…] [OPTION-OF-TAP…]
 * Prints one line per test file, all of a failure, and `N passed, N failed` at the end. With CI set nothing may skip.
 */
import { spawn } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join, relative } from 'node:path';
import { createInterface } from 'node:readline';
import { bundle } from '../build/bundle';
import { TapReport } from './helpers/tap-report';

const ROOT = join(__dirname, '..');
/** For a machine that others use, too; what a test waits for has limits of its own. */
const SECONDS_PER_FILE = 3000;
const OWN_OPTIONS = ['--no-build', '--soak'];
const isCi = !['', '0', 'false'].includes(process.env.CI ?? '');

async function main(args: readonly string[]): Promise<number> {
  const files = testFiles(args.filter((arg) => !arg.startsWith('-')));
  if (files.length === 0) throw new Error(`no test file matches: ${args.join(' ')}`);
  if (!args.includes('--no-build')) await bundle();

  const options = args.filter((arg) => arg.startsWith('-') && !OWN_OPTIONS.includes(arg));
  const report = new TapReport((text) => process.stdout.write(text));
  const status = await runTap([...options, ...files], args.includes('--soak') ? { SOAK: '1' } : {}, report);
  const { pass, fail, skip, todo } = report.totals;
  const lost = files.filter((file) => !report.has(file));
  for (const file of lost) process.stdout.write(`no result of ${file}\n`);
  // A run that tap itself calls failed, or that nothing came of, is a failure whatever was counted.
  const failed = fail + lost.length === 0 && (status !== 0 || pass === 0) ? 1 : fail + lost.length;
  if (skip + todo > 0) process.stdout.write(`${skip} skipped, ${todo} to do\n`);
  process.stdout.write(`${pass} passed, ${failed} failed\n`);
  return failed === 0 ? 0 : 1;
}

/** Returns the test files whose path holds one of the filters; all of them without a filter. */
function testFiles(filters: readonly string[]): string[] {
  const entries = readdirSync(join(ROOT, 'test'), { recursive: true, encoding: 'utf8' });
  const files = entries.filter((path) => path.endsWith('.test.ts')).map((path) => `test/${path}`);
  const wanted = filters.map((filter) => (filter.startsWith('/') ? relative(ROOT, filter) : filter));
  return files.filter((path) => wanted.length === 0 || wanted.some((part) => path.includes(part))).sort();
}

async function runTap(args: readonly string[], env: NodeJS.ProcessEnv, report: TapReport): Promise<number> {
  const jobs = Math.min(4, availableParallelism() + 1); // they wait a lot: for machines, and for limits to pass
  const shape = ['--reporter=tap', '--no-color', '--disable-coverage', '--allow-empty-coverage'];
  const limits = [`--jobs=${jobs}`, `--timeout=${SECONDS_PER_FILE}`];
  const strict = isCi ? ['--fail-skip', '--fail-todo', '--fail-only'] : [];
  const child = spawn(join(ROOT, 'node_modules/.bin/tap'), ['run', ...shape, ...limits, ...strict, ...args], {
    cwd: ROOT,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = new Promise<number>((resolve, reject) => {
    child.on('error', reject).on('close', (code) => resolve(code ?? 1));
  });
  for await (const line of createInterface({ input: child.stdout })) report.line(line);
  report.end();
  return ended;
}

main(process.argv.slice(2))
  .then((status) => {
    process.exitCode = status;
  })
  .catch((error: unknown) => {
    process.stderr.write(`test: ${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = 1;
  });
