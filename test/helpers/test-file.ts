import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

/** How a test file ended. */
export interface FileResult {
  readonly file: string;
  /** What it printed in TAP (testanything.org), line by line. */
  readonly lines: readonly string[];
  /** The end of what it wrote to stderr. */
  readonly complaints: string;
  /** Why it failed though no test in it did: undefined when it ended as a test file should. */
  readonly failure: string | undefined;
  readonly durationMs: number;
}

/** What of stderr is kept. */
const COMPLAINTS_BYTES = 16 * 1024;
/** The runner's own limit comes after that of tap, which can say what it waited for. */
const GRACE_MS = 60_000;
/** How long a file that was told to end may take, and a process that outlives it may hold its output open. */
const HELD_MS = 5_000;

/**
 * Runs one test file as a process (and process group) of its own. Not by `tap run`: that translates each file anew with the
 * TypeScript compiler, and loads itself into every Node that a test starts, which is half of a short file's time.
 */
export async function runTestFile(
  file: string,
  { root, limitMs, env, signal }: { root: string; limitMs: number; env: NodeJS.ProcessEnv; signal: AbortSignal },
): Promise<FileResult> {
  const begin = performance.now();
  // A file with authorities for downloads, which no test makes, would double the time that each Node takes to start.
  const { NODE_EXTRA_CA_CERTS: _none, ...inherited } = process.env;
  const preloaded = ['tsx/cjs', require.resolve('./exit-on-term')].flatMap((module) => ['--require', module]);
  const child = spawn(process.execPath, [...preloaded, '--enable-source-maps', file], {
    cwd: root,
    env: { ...inherited, ...env, TAP: '1', TAP_TIMEOUT: String(limitMs / 1000) },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  });
  let ending: string | undefined;
  const kill = (signal: NodeJS.Signals): void => {
    try {
      process.kill(-(child.pid ?? Number.NaN), signal);
    } catch {
      // it has ended
    }
  };
  const end = (why: string) => (): void => {
    ending ??= why;
    kill('SIGTERM'); // it removes what it made
    setTimeout(kill, HELD_MS, 'SIGKILL').unref();
  };
  const timer = setTimeout(end(`it did not end within ${(limitMs + GRACE_MS) / 1000} s`), limitMs + GRACE_MS);
  const stop = end('it was stopped');
  signal.addEventListener('abort', stop);
  const lines: string[] = [];
  let complaints = '';
  createInterface({ input: child.stdout }).on('line', (line) => lines.push(line));
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    complaints = (complaints + text).slice(-COMPLAINTS_BYTES);
  });
  const status = await new Promise<string | undefined>((resolve) => {
    child.on('error', ({ message }) => resolve(message));
    const ended = (code: number | null, by: NodeJS.Signals | null): void =>
      resolve(code === 0 ? undefined : by === null ? `exit ${code}` : `ended by ${by}`);
    child.on('close', ended);
    child.on('exit', (code, by) => setTimeout(ended, HELD_MS, code, by).unref());
  });
  clearTimeout(timer);
  signal.removeEventListener('abort', stop);
  kill('SIGKILL');
  const isWhole = lines.some((line) => /^1\.\.[1-9]/.test(line));
  const failure = ending ?? status ?? (isWhole ? undefined : 'it ended before all its tests had');
  return { file, lines, complaints, failure, durationMs: performance.now() - begin };
}
