import type { AbsolutePath, DatastoreId, HostName, UserName } from '../opennebula/ids';
import type { Secret } from '../secret';
import type { Command } from './command';
import { explainResticFailure, sshReason } from './restic-failure';

/** How one repository is opened from one host. All limits are absent unless the datastore sets them. */
export interface ResticAccess {
  /** A local path, on the backup server itself, or by SFTP. */
  readonly repository: AbsolutePath;
  /** Where it is reached by SFTP; undefined on the backup server itself. */
  readonly sftp: { readonly server: HostName; readonly user: UserName } | undefined;
  readonly password: Secret;
  readonly datastoreId: DatastoreId;
  /** Parallel SFTP requests; restic's own default is 5. */
  readonly connections: number;
  /** Both directions, in KiB/s. */
  readonly bandwidthLimitKib: number | undefined;
  readonly compression: 'auto' | 'off' | 'max';
  /** GOMAXPROCS: how many threads may compute at once. */
  readonly maxThreads: number | undefined;
  /** Prepended to argv: nice, ionice, systemd-run. */
  readonly throttle: readonly string[];
}

/** restic's own SSH never asks, notices a dead peer within a minute, passes no agent on, and leaves no master process behind. */
const SSH =
  'ssh -a -x -o BatchMode=yes -o ConnectTimeout=20 -o ServerAliveInterval=15 -o ServerAliveCountMax=4 -o ControlMaster=no -o ControlPath=none';

/** Returns a command of restic on that repository: what all of them have in common. */
export function restic<T>(
  access: ResticAccess,
  args: readonly string[],
  rest: Omit<Command<T>, 'argv' | 'secrets' | 'env' | 'classify'>,
): Command<T> {
  const { sftp, connections, bandwidthLimitKib, maxThreads } = access;
  const where =
    sftp === undefined
      ? ['-r', access.repository]
      : [
          ...['-r', `sftp:${sftp.user}@${bracketed(sftp.server)}:${access.repository}`],
          ...['-o', `sftp.command=${sshWords(sftp).join(' ')}`],
          ...(connections === 5 ? [] : ['-o', `sftp.connections=${connections}`]),
        ];
  const limit =
    bandwidthLimitKib === undefined
      ? []
      : [`--limit-upload=${bandwidthLimitKib}`, `--limit-download=${bandwidthLimitKib}`];
  const [program = 'restic', ...before] = [...access.throttle, 'restic'];
  return {
    argv: [program, ...before, ...where, ...limit, ...args],
    env: { RESTIC_PROGRESS_FPS: '1', ...(maxThreads === undefined ? {} : { GOMAXPROCS: String(maxThreads) }) },
    secrets: { RESTIC_PASSWORD: access.password },
    softSignal: 'INT',
    classify: (outcome, host) => explainResticFailure(outcome, host, access, rest.purpose),
    ...rest,
  };
}

/** restic takes everything up to a colon for the server; an IPv6 address stands in brackets. */
function bracketed(server: HostName): string {
  return server.includes(':') && !server.startsWith('[') ? `[${server}]` : server;
}

/** The command by which restic reaches the backup server: ssh takes an IPv6 address without brackets. */
function sshWords({ server, user }: NonNullable<ResticAccess['sftp']>): [string, ...string[]] {
  const [program = 'ssh', ...options] = SSH.split(' ');
  return [program, ...options, '-l', user, server.replace(/^\[(.*)\]$/, '$1'), '-s', 'sftp'];
}

/**
 * Connects as restic would, and says what ssh itself says of it; undefined when it connects. restic ends as soon as its
 * ssh does, and then has often not passed on why.
 */
export function askSsh(sftp: NonNullable<ResticAccess['sftp']>): Command<string | undefined> {
  return {
    argv: sshWords(sftp),
    purpose: 'ask ssh why the backup server does not answer',
    parse: ({ exitCode, stderr }) => (exitCode === 0 ? undefined : sshReason(stderr)),
    dryRun: undefined,
    accept: [1, 2, 255],
  };
}
