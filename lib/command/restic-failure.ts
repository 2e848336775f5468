import { DriverError } from '../errors';
import type { Outcome } from './command';
import type { ResticAccess } from './restic-access';
import { sshReason } from './ssh-client';

/** restic's exit codes since 0.17 (restic manual, "Exit codes"); older versions end with 1 and are known by their words. */
const EXIT = { noRepository: 10, locked: 11, wrongPassword: 12, incompleteBackup: 3 } as const;

/** What stands in an error when ssh's reason got lost. */
export const NO_REASON = 'ssh ended without a word';

/** What restic says of a wrong password; a password that is a word of it was concealed (execute.ts). */
const WRONG_PASSWORD = /(?:wrong|\*{3}) (?:password|\*{3}) or no (?:key|\*{3}) found/;

/**
 * Recognises why restic failed, from its exit code (0.17 and later) or its words (before).
 * Each pattern was observed with restic 0.14 and 0.18. Returns undefined for what is not known.
 */
export function explainResticFailure(
  outcome: Outcome,
  host: string,
  access: ResticAccess,
  purpose: string,
): DriverError | undefined {
  const { exitCode } = outcome;
  const all = words(outcome.stderr);
  const said = all.replace(/^subprocess ssh: .*$/gm, ''); // a banner or a warning of ssh is no failure of restic
  const repository = `repository ${access.repository}`;
  const cannot = `cannot ${purpose}`;
  if (exitCode === EXIT.noRepository || /Is there a repository at the following location/.test(said)) {
    const missing = exitCode === EXIT.noRepository || /file does not exist|no such file/i.test(said);
    if (missing)
      return new DriverError('notFound', `${cannot}: there is no ${repository}`, {
        host,
        hint: 'The first backup creates it. If there were some, its file "config" is gone, or its filesystem is not mounted',
      });
  }
  if (exitCode === EXIT.wrongPassword || WRONG_PASSWORD.test(said)) {
    return new DriverError('password', `${cannot}: RESTIC_PASSWORD does not open ${repository}`, {
      host,
      hint: `Correct it ${access.correctedBy}`,
    });
  }
  if (exitCode === EXIT.locked || /repository is already locked/.test(said)) {
    return new DriverError('locked', `${cannot}: ${repository} is locked ${lockHolder(said)}`, { host });
  }
  if (/no space left on device|disk quota exceeded/i.test(said)) {
    const isOfPacks = /restic-temp-pack/.test(said); // what it is about to send: with 0.14, 160 MB were enough at 5 connections, 100 MB not
    const room = 'restic needs well over 100 MB in /tmp, more with more RESTIC_CONNECTIONS';
    return new DriverError('noSpace', `${cannot}: a filesystem is full: ${lastWords(said)}`, {
      host,
      hint: isOfPacks ? `There ${room}: make it, or set TMPDIR for that login` : 'Free some space and try again',
    });
  }
  if (/unable to start the sftp session|error receiving version packet|unexpectedly closed connection/.test(said)) {
    const reason = sshReason(all) ?? NO_REASON;
    return new DriverError(
      'unreachable',
      `${cannot}: the backup server ${access.sftp?.server ?? ''} does not answer by SFTP: ${reason}`,
      { host, hint: `Try there: sftp ${access.sftp?.user ?? ''}@${access.sftp?.server ?? ''}` },
    );
  }
  if (/no matching ID found|not found in snapshot|failed to find snapshot/.test(said)) {
    return new DriverError('notFound', `${cannot}: ${lastWords(said)} in ${repository}`, { host });
  }
  const unwritten =
    /\b(?:write|truncate|fsync) \/[^\n]*: (?:file too large|input\/output error|read-only file system)[^\n]*/i.exec(
      said,
    );
  if (unwritten !== null) {
    return new DriverError('failed', `${cannot}: ${unwritten[0].trim()}`, {
      host,
      hint: 'See the storage and the limits (ulimit -f) there',
    });
  }
  if (
    /ciphertext verification failed|hash does not match|invalid data returned|not found in (?:index|repository)|pack .* (?:damaged|missing)|unexpected EOF|file is too short|ReadFull\(|There were \d+ errors|does not exist.*data\/|Load\(<data\/[^\n]*(?:does not exist|no such file)|config file has zero size|unexpected end of JSON input/i.test(
      said,
    )
  ) {
    return new DriverError('damaged', `${cannot}: ${repository} is damaged: ${lastWords(said)}`, {
      host,
      hint: 'Run "restic check --read-data" on it, and use an older backup',
    });
  }
  if (exitCode === EXIT.incompleteBackup) {
    return new DriverError('failed', `${cannot}: a file of the staging folder could not be read: ${firstError(said)}`, {
      host,
      hint: 'Let the user of the hypervisor host read it',
    });
  }
  if (/sftp: "Failure"|SSH_FX_FAILURE/.test(said)) {
    return new DriverError('failed', `${cannot}: the backup server refused to write: ${lastWords(said)}`, {
      host,
      hint: 'See whether its filesystem is full or read-only',
    });
  }
  if (/permission denied|SSH_FX_PERMISSION_DENIED/i.test(said)) {
    return new DriverError('failed', `${cannot}: no permission: ${lastWords(said)}`, {
      host,
      hint: `Give it for ${repository}`,
    });
  }
  const last = lastWords(said);
  if (exitCode >= 100 || last === '') return undefined; // the supervisor's, the shell's, or a signal
  return new DriverError('failed', `${cannot}: restic ended with exit code ${exitCode}: ${last}`, { host });
}

/** Where in its source a Go program failed: `main.main`, and below it the file and line after a tab. */
const TRACE = /^\t|^[\w.-]+(?:\/[\w.-]+)*\.[\w.()*-]+(?::\d+)?$/;

/** What it says when it is stopped, which is no reason of anything. */
const STOPPED = /^signal \w+ received, cleaning up$/;

/** The text of stderr, with restic's JSON messages (0.17 and later) turned into plain lines, without traces and what erases a line. */
function words(stderr: string): string {
  return plainLines(stderr.replaceAll('\x1b[2K', ''))
    .split('\n')
    .filter((line) => !TRACE.test(line) && !STOPPED.test(line))
    .join('\n');
}

function plainLines(stderr: string): string {
  return stderr
    .replaceAll('\0', '')
    .split('\n')
    .map((line) => {
      if (!line.startsWith('{')) return line;
      try {
        const { message, error } = JSON.parse(line) as {
          message?: string;
          error?: { message?: string; Op?: string; Path?: string };
        };
        return message ?? error?.message ?? `${error?.Op ?? ''} ${error?.Path ?? ''} failed`;
      } catch {
        return line;
      }
    })
    .join('\n');
}

/** Who holds the lock, in restic's words: `by PID 1 on host by user (UID 0, GID 0), since ...`. */
function lockHolder(said: string): string {
  const holder = /already locked (exclusively )?by (PID \d+ on \S+ by [^\n(]+)/.exec(said);
  const since = /lock was created at ([^\n]+)/.exec(said);
  if (holder === null) return 'by another process';
  return `${holder[1] ?? ''}by ${holder[2]?.trim()}${since === null ? '' : `, since ${since[1]}`}`;
}

function lastWords(said: string): string {
  const lines = said.split('\n').map((line) => line.replace(/^(Fatal|error): |^ignoring error for /, '').trim());
  return (
    lines
      .filter((line) => line !== '' && !/^\[|^There were \d+ errors/.test(line))
      .at(-1)
      ?.slice(0, 200) ?? ''
  );
}

function firstError(said: string): string {
  return (
    said
      .split('\n')
      .find((line) => /denied|failed|error/i.test(line))
      ?.replace(/^error: /, '')
      .trim() ?? 'see the log'
  );
}
