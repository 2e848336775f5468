import type { AbsolutePath } from '../opennebula/ids';
import { Secret } from '../secret';
import type { Command } from './command';
import { explainResticFailure } from './restic-failure';
import { bracketed, type Login, sshAs, unbracketed } from './ssh-client';

/** How one repository is opened from one host. All limits are absent unless the datastore sets them. */
export interface ResticAccess {
  /** A local path, on the backup server itself, or by SFTP. */
  readonly repository: AbsolutePath;
  /** Where it is reached by SFTP; undefined on the backup server itself. */
  readonly sftp: Login | undefined;
  readonly password: Secret;
  /** How a wrong password is corrected, for the end of a hint: `with: onedatastore update 100`. */
  readonly correctedBy: string;
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
          ...['-o', `sftp.command=${[...sshAs(sftp), unbracketed(sftp.server), '-s', 'sftp'].join(' ')}`],
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
    logsInElsewhere: sftp !== undefined,
    classify: (outcome, host) => explainResticFailure(outcome, host, access, rest.purpose),
    ...rest,
  };
}

/** The password as the stock driver understands it: it leaves quotes out. Undefined when there are none, or nothing else. */
export function withoutQuotes(password: Secret): Secret | undefined {
  const bare = password.reveal().replace(/["']/g, '');
  return bare === '' || bare === password.reveal() ? undefined : new Secret(bare);
}
