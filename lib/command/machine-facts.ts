import type { Command } from './command';

/** Asks for the time of the machine, in seconds since 1970. */
export function askTime(): Command<number> {
  return {
    argv: ['date', '-u', '+%s'],
    purpose: 'ask for the time',
    parse: ({ stdout }) => Number(stdout.trim()),
    dryRun: 0,
  };
}

/** Asks a program for its version: `[3, 4, 1]`; nothing when it does not tell. Programs tell it in many ways. */
export function askVersion(program: string, args: readonly string[]): Command<readonly number[]> {
  return {
    argv: [program, ...args],
    purpose: `ask for the version of ${program}`,
    accept: [1, 2],
    parse: ({ stdout, stderr }) => {
      const found = /(?<![0-9.])[0-9]+(\.[0-9]+)+/.exec(`${stdout}\n${stderr}`)?.[0];
      return found === undefined ? [] : found.split('.').map(Number);
    },
    dryRun: [],
  };
}

/** Asks who owns a file or folder. */
export function askOwner(path: string): Command<string> {
  return {
    argv: ['stat', '-c', '%U', '--', path],
    purpose: `ask who owns ${path}`,
    parse: ({ stdout }) => stdout.trim(),
    dryRun: '',
  };
}

/** Asks who the login is. */
export function askLogin(): Command<string> {
  return { argv: ['id', '-un'], purpose: 'ask for the login', parse: ({ stdout }) => stdout.trim(), dryRun: '' };
}

/** Whether the words that limit a transfer (throttle.ts) work: what they, or the system, complain of. */
export function tryLimits(limits: readonly [string, ...string[]]): Command<string> {
  return {
    argv: [...limits, 'true'],
    purpose: 'try the limits of the transfer',
    accept: Array.from({ length: 127 }, (_, index) => index + 1),
    parse: ({ exitCode, stderr }) =>
      stderr.trim().split('\n').at(-1) || (exitCode === 0 ? '' : `exit code ${exitCode}`),
    dryRun: '',
  };
}
