import { execFile } from 'node:child_process';
import { DriverError } from '../errors';
import { abortReason } from './execute';

/** The environment of the action, as `lib/action/run.ts` hands it down; PATH, SSH_AUTH_SOCK and `${NAME}`s of ssh_config count. */
export type SshEnv = Readonly<NodeJS.ProcessEnv>;

/** What a program of OpenSSH answered. `code` is its exit status; -1 when a signal ended it. */
export interface ProgramAnswer {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

const TIME_LIMIT_MS = 10_000;
const MAX_OUTPUT_BYTES = 8 << 20;

/**
 * Runs `ssh -G` or `ssh-keygen` on the front-end, without a shell and for at most 10 s. Any exit status is an answer.
 * Throws noProgram when it is not installed, unreachable when it takes too long, cancelled when the signal aborts.
 */
export function runSshProgram(
  program: 'ssh' | 'ssh-keygen',
  args: readonly string[],
  env: SshEnv,
  signal: AbortSignal,
): Promise<ProgramAnswer> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(abortReason(signal));
    const options = {
      env,
      signal,
      timeout: TIME_LIMIT_MS,
      maxBuffer: MAX_OUTPUT_BYTES,
      killSignal: 'SIGKILL' as const,
    };
    const child = execFile(program, [...args], options, (error, stdout, stderr) => {
      if (error === null) return resolve({ code: 0, stdout, stderr });
      if (signal.aborted) return reject(abortReason(signal));
      if (error.code === 'ENOENT') {
        const hint = "Install Debian's package openssh-client, or put it on the PATH of oned";
        return reject(
          new DriverError('noProgram', `the program ${program} is not on the PATH`, { hint, cause: error }),
        );
      }
      if (error.killed === true) {
        const hint = 'Run it by hand: a Match exec line or a name service that hangs is the usual reason';
        const what = `\`${[program, ...args].join(' ')}\` did not end within ${TIME_LIMIT_MS / 1000} s`;
        return reject(new DriverError('unreachable', what, { hint, cause: error }));
      }
      return resolve({ code: typeof error.code === 'number' ? error.code : -1, stdout, stderr });
    });
    child.stdin?.end();
  });
}

/** Quotes one word for a command line that an error shows to a person; it is never executed by us. */
export function shownWord(word: string): string {
  return /^[A-Za-z0-9_./~:@%+=,-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}
