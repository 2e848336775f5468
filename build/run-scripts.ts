import { spawn } from 'node:child_process';
import { availableParallelism, tmpdir } from 'node:os';
import { InstallFailure } from './install-failure';

const TIME_LIMIT_MS = 60_000;

/** Runs each script with --version, from where it lies. Throws `notRunning` unless each says this version. */
export async function runScripts(paths: readonly string[], version: string): Promise<void> {
  const waiting = [...paths];
  let failure: string | undefined;
  const work = async (): Promise<void> => {
    for (let path = waiting.shift(); path !== undefined && failure === undefined; path = waiting.shift()) {
      failure = (await failureOf(path, version)) ?? failure;
    }
  };
  await Promise.all(Array.from({ length: availableParallelism() }, work));
  if (failure !== undefined) throw new InstallFailure('notRunning', failure);
}

async function failureOf(path: string, version: string): Promise<string | undefined> {
  // Hardly more of an environment than oned gives, and nothing that would change how Node runs.
  const env = { PATH: process.env.PATH, HOME: tmpdir(), LANG: 'C' };
  const child = spawn(path, ['--version'], {
    cwd: '/',
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: TIME_LIMIT_MS,
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text) => {
      output += text;
    });
  }
  const how = await new Promise<string>((resolve) => {
    child.on('error', ({ message }) => resolve(message)).on('close', (code, signal) => resolve(`${code ?? signal}`));
  });
  if (how === '0' && output.includes(version)) return undefined;
  const said = output.trim().slice(0, 300);
  return `${path} --version ended with ${how}${said === '' ? '' : `: ${said}`}`;
}
