import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import { DriverError } from '../errors';

/** A program that a person runs through us, as if it had been called by hand. */
export interface ScriptCall {
  readonly argv: readonly [string, ...string[]];
  /** What it reads; then its stdin ends. */
  readonly stdin: string;
  readonly env: NodeJS.ProcessEnv;
  /** When it fires, the program gets SIGTERM, and is still waited for. */
  readonly signal: AbortSignal;
}

/**
 * Runs a program of this machine whose stdout and stderr are our own, and returns its exit code: 128 and the number of
 * the signal, if one ended it. It is not supervised: it is one of our own scripts, and does that itself. Throws `noProgram`.
 */
export async function runScript({ argv: [program, ...args], stdin, env, signal }: ScriptCall): Promise<number> {
  const child = spawn(program, args, { stdio: ['pipe', 'inherit', 'inherit'], env });
  const stop = (): void => void child.kill('SIGTERM');
  signal.addEventListener('abort', stop, { once: true });
  if (signal.aborted) stop();
  child.stdin.on('error', () => {}); // it ended before it had read all; its exit code tells why
  child.stdin.end(stdin);
  try {
    return await new Promise<number>((resolve, reject) => {
      child.on('error', (cause) => reject(cannotStart(program, cause)));
      child.on('close', (code, name) => resolve(code ?? 128 + (name === null ? 0 : constants.signals[name])));
    });
  } finally {
    signal.removeEventListener('abort', stop);
  }
}

function cannotStart(program: string, cause: NodeJS.ErrnoException): DriverError {
  return new DriverError('noProgram', `${program} cannot be started: ${cause.code ?? cause.message}`, {
    hint: 'Install the built scripts of the drivers beside backupctl',
    cause,
  });
}
