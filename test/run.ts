/**
 * Builds the scripts and runs the tests.
 *   tsx test/run.ts [--no-build] [--soak] [--jobs N] [--grep WORD] [PART-OF-A-FILE-NAME…]
 * Prints one line per test file, all of a failure, and `N passed, N failed` at the end. With CI set nothing may skip.
 */
import { readdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join, relative } from 'node:path';
import { parseArgs } from 'node:util';
import { bundle } from '../build/bundle';
import { reportOf, sum, type Totals, totalsOf } from './helpers/tap-report';
import { runTestFile } from './helpers/test-file';

const ROOT = join(__dirname, '..');
/** For a machine that others use, too; what a test waits for has limits of its own. */
const SECONDS_PER_FILE = { test: 3000, soak: 7200 };
/** These take longest: begun last, one of them would run alone at the end. */
const FIRST = ['engine-zfs', 'conformance', 'control', 'faults', 'actions'];
/** Files that emulate a machine, each of which keeps a processor busy: no more of them at a time than there are. */
const EMULATES = /^test\/(engine-zfs|conformance\/zfs|control\/backups-zfs)/;
const MACHINES = availableParallelism();
const isCi = !['', '0', 'false'].includes(process.env.CI ?? '');

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      'no-build': { type: 'boolean' },
      soak: { type: 'boolean' },
      jobs: { type: 'string' },
      grep: { type: 'string' },
    },
  });
  const jobs = Number(values.jobs ?? Math.min(4, availableParallelism() + 1)); // they wait a lot: for machines, and for limits
  if (!Number.isInteger(jobs) || jobs < 1) throw new Error(`--jobs is a number from 1, not ${values.jobs}`);
  const files = testFiles(positionals);
  if (files.length === 0) throw new Error(`no test file matches: ${positionals.join(' ')}`);
  if (values['no-build'] !== true) await bundle();

  const env = {
    ...(values.soak === true ? { SOAK: '1' } : {}),
    ...(values.grep === undefined ? {} : { TAP_GREP: values.grep }), // read by tap in each file
  };
  const totals = sum(await runAll(files, jobs, env));
  const { pass, fail, skip, todo } = totals;
  if (skip + todo > 0)
    process.stdout.write(`${skip} skipped, ${todo} to do${isCi ? ', which CI does not allow' : ''}\n`);
  if (pass + fail === 0) process.stdout.write('no test ran\n');
  const failed = Math.max(fail + (isCi ? skip + todo : 0), pass === 0 ? 1 : 0);
  process.stdout.write(`${pass} passed, ${failed} failed\n`);
  return failed === 0 ? 0 : 1;
}

/** Returns the test files whose path holds one of the filters, the longest first; all of them without a filter. */
function testFiles(filters: readonly string[]): string[] {
  const entries = readdirSync(join(ROOT, 'test'), { recursive: true, encoding: 'utf8' });
  const files = entries.filter((path) => path.endsWith('.test.ts')).map((path) => `test/${path}`);
  const wanted = filters.map((filter) => (filter.startsWith('/') ? relative(ROOT, filter) : filter));
  const rank = (path: string): number => {
    const found = FIRST.findIndex((folder) => path.startsWith(`test/${folder}/`));
    return found === -1 ? FIRST.length : found;
  };
  return files
    .filter((path) => wanted.length === 0 || wanted.some((part) => path.includes(part)))
    .sort((a, b) => rank(a) - rank(b) || a.localeCompare(b));
}

/** Runs the files, some at a time, and prints each as it ends. */
async function runAll(files: readonly string[], jobs: number, env: NodeJS.ProcessEnv): Promise<Totals[]> {
  const stop = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => stop.abort());
  const queue = [...files];
  const all: Totals[] = [];
  let machines = 0;
  const next = (): string | undefined => {
    const other = queue.findIndex((file) => !EMULATES.test(file));
    return queue.splice(machines >= MACHINES && other > 0 ? other : 0, 1)[0];
  };
  const worker = async (): Promise<void> => {
    for (let file = next(); file !== undefined; file = next()) {
      const isMachine = EMULATES.test(file);
      if (isMachine) machines++;
      const settings = {
        root: ROOT,
        limitMs: SECONDS_PER_FILE[env.SOAK === '1' ? 'soak' : 'test'] * 1000,
        env,
        signal: stop.signal,
      };
      const result = await runTestFile(file, settings);
      if (isMachine) machines--;
      all.push(totalsOf(result));
      for (const line of reportOf(result, `${all.length}/${files.length}`)) process.stdout.write(`${line}\n`);
      if (stop.signal.aborted) queue.length = 0;
    }
  };
  await Promise.all(Array.from({ length: jobs }, worker));
  return all;
}

main()
  .then((status) => {
    process.exitCode = status;
  })
  .catch((error: unknown) => {
    process.stderr.write(`test: ${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = 1;
  });
