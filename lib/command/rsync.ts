import { DriverError } from '../errors';
import type { AbsolutePath } from '../opennebula/ids';
import { type Command, nothing, type Outcome } from './command';
import { receiver } from './receiving';
import { bracketed, type Login, sshAs, sshReason } from './ssh-client';

/** A transfer of files from a host into a folder of the backup server. */
export interface Transfer {
  readonly files: readonly AbsolutePath[];
  readonly to: Login;
  readonly folder: AbsolutePath;
  /** RSYNC_ARGS, as parseRsyncArgs lets them pass. */
  readonly args: readonly string[];
  /** The folder holds beginnings of files, of which each may be kept that is proven to be the same. */
  readonly resume: boolean;
  /** Prepended to argv: nice, ionice, systemd-run. */
  readonly throttle: readonly string[];
}

/**
 * Sends files, in place: the folder is private until it is complete, and what a broken transfer leaves there can be gone
 * on with. Every file is sent whatever its size and time. A resumed one gets its missing end, and rsync compares the
 * checksum of all of it; where that differs, it sends the file anew (rsync(1), --append-verify; with --sparse it fails).
 */
export function rsync({ files, to, folder, args, resume, throttle }: Transfer): Command<undefined> {
  const [program = 'rsync', ...words] = [...throttle, 'rsync'];
  return {
    argv: [
      program,
      ...words,
      ...args,
      ...['--inplace', '--ignore-times', '--no-relative', '--protect-args', '--info=progress2', '--no-human-readable'],
      ...(resume ? ['--append-verify', '--no-sparse', '--no-whole-file', ...anyChecksum(args)] : []),
      ...['-e', sshAs(to).join(' '), `--rsync-path=${receiver(folder)}`, '--', ...files],
      `${bracketed(to.server)}:${folder}/`,
    ],
    env: { LC_ALL: 'C' },
    purpose: resume ? 'go on with the transfer of the backup' : 'transfer the backup',
    logsInElsewhere: true,
    parse: nothing,
    dryRun: undefined,
    classify: (outcome, host) => explain(outcome, host, to),
  };
}

/** What is proven by its checksum needs one, whatever the admin chose; older rsyncs do not know the option. */
function anyChecksum(args: readonly string[]): string[] {
  return args.some((arg) => /^--(checksum-choice|cc)=/.test(arg)) ? ['--checksum-choice=auto'] : [];
}

/** The bytes done in a line of --info=progress2, or undefined for any other line. */
export function transferredBytes(line: string): number | undefined {
  const found = /^\s*([0-9][0-9,.]*)\s+[0-9]+%\s/.exec(line);
  return found === null ? undefined : Number((found[1] as string).replace(/[,.]/g, ''));
}

/** rsync(1), "EXIT VALUES"; its words were observed with 3.5.0. */
function explain({ exitCode, stderr }: Outcome, host: string, { server, user }: Login): DriverError | undefined {
  const cannot = 'cannot transfer the backup';
  if (/no space left on device|disk quota exceeded/i.test(stderr)) {
    return new DriverError('noSpace', `${cannot}: no space is left on the backup server ${server}`, {
      host,
      hint: 'Free some space there, or remove old backups, and try again',
    });
  }
  if (/rsync: (?:command )?not found|failed to exec.*rsync|exec.*rsync.*No such file/i.test(stderr)) {
    const where = /^sh: |remote|bash: |flock: /m.test(stderr) ? `the backup server ${server}` : 'the host';
    return new DriverError('noProgram', `${cannot}: the program rsync is missing on ${where}`, {
      host,
      hint: 'Install it there',
    });
  }
  const reason = sshReason(stderr);
  if (exitCode === 255 || (reason !== undefined && [12, 30, 255].includes(exitCode))) {
    return new DriverError(
      'unreachable',
      `${cannot}: the backup server ${server} does not answer: ${reason ?? 'see the log'}`,
      {
        host,
        hint: `Try there: ssh ${user}@${server} true`,
      },
    );
  }
  if (exitCode === 12 || exitCode === 30) {
    return new DriverError(
      'unreachable',
      `${cannot}: the connection to the backup server ${server} broke: ${said(stderr)}`,
      {
        host,
        hint: 'Try again; what was sent is kept, and gone on with',
      },
    );
  }
  if (exitCode === 1 || exitCode === 4) {
    return new DriverError('config', `${cannot}: rsync does not accept its options: ${said(stderr)}`, {
      host,
      hint: 'See RSYNC_ARGS, and the versions of rsync there and on the backup server',
    });
  }
  if ([3, 11, 23, 24].includes(exitCode)) {
    return new DriverError('failed', `${cannot}: ${said(stderr)}`, {
      host,
      hint: 'See the permissions and the storage there and on the backup server',
    });
  }
  return undefined;
}

/** The first line in which rsync says what went wrong: those after it are consequences. */
function said(stderr: string): string {
  const lines = stderr.split('\n').map((line) => line.replace(/^rsync(?: error)?: /, '').trim());
  return (lines.find((line) => line !== '') ?? 'it did not say why').slice(0, 300);
}
