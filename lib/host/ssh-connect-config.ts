import type { Duplex } from 'node:stream';
import type { ConnectConfig } from 'ssh2';
import { quote } from '../command/quote';
import { DriverError, type Mend } from '../errors';
import { hostVerifier } from './known-hosts';
import { type SshLogin, sshLogin } from './ssh-agent';
import { algorithmsFor } from './ssh-algorithms';
import type { SshTarget } from './ssh-config';
import type { SshEnv } from './ssh-program';
import { openSocket } from './ssh-socket';

/** ssh-copy-id has to log in itself. */
export const KEYS_ONLY = "Where no password is taken, add the key's .pub file to ~/.ssh/authorized_keys there by hand";

/** A connection that is ready to be made. */
export interface Ssh2Config {
  /** For `Client.connect` of ssh2 or ssh2-sftp-client, once. */
  readonly config: ConnectConfig & { readonly sock: Duplex };
  /** Turns what `connect` failed with into the error to report, and closes the stream. */
  readonly explain: (error: unknown) => DriverError;
}

/** The time for key exchange and login after the TCP connection; sshd's own LoginGraceTime is 120 s. */
const LOGIN_LIMIT_MS = 30_000;

/**
 * Prepares the connection: opens the stream, reads known_hosts and gathers the keys, all at once.
 * Throws unreachable (no stream, nothing negotiable), noProgram (no ssh-keygen) or cancelled; nothing stays open then.
 */
export async function ssh2Config(target: SshTarget, env: SshEnv, signal: AbortSignal): Promise<Ssh2Config> {
  const opening = openSocket(target, env, signal);
  const gathering = Promise.all([hostVerifier(target, env, signal), sshLogin(target.auth)]);
  const [opened, gathered] = await Promise.allSettled([opening, gathering]);
  if (opened.status === 'rejected') throw opened.reason;
  const sock = opened.value;
  try {
    if (gathered.status === 'rejected') throw gathered.reason;
    const [hostCheck, login] = gathered.value;
    const config = {
      sock,
      username: target.user,
      agent: login.agent,
      agentForward: true,
      authHandler: [{ type: 'agent' as const, username: target.user, agent: login.agent }],
      hostVerifier: hostCheck.verify,
      algorithms: algorithmsFor(target, hostCheck.types),
      keepaliveInterval: target.timing.aliveIntervalMs,
      keepaliveCountMax: target.timing.aliveCountMax,
      readyTimeout: Math.max(target.timing.connectTimeoutMs, LOGIN_LIMIT_MS),
    };
    let streamFailure: unknown;
    sock.on('error', (error) => {
      streamFailure = error;
    });
    const explain = (error: unknown): DriverError => {
      sock.destroy();
      const known = [error, hostCheck.refusal(), streamFailure].find((one) => one instanceof DriverError);
      return known ?? connectError(error, target, login);
    };
    // What has ended before ssh2 listens would go unnoticed until the time limit.
    if (sock.readableEnded || sock.destroyed) throw explain(new Error('Connection lost before handshake'));
    return { config, explain };
  } catch (error) {
    sock.destroy();
    throw error;
  }
}

/** How an error of ssh2 reads (its `lib/client.js` and `lib/protocol/kex.js`), and what it means to the operator. */
const MEANINGS: readonly (readonly [
  RegExp,
  (found: RegExpExecArray, target: SshTarget) => readonly [string, string],
])[] = [
  [
    /Too many authentication failures/,
    () => [
      'sshd gave up after too many keys',
      'Name the one key with IdentityFile and IdentitiesOnly yes in ~/.ssh/config',
    ],
  ],
  [
    /no matching (.*)/,
    ([, what]) => [
      `sshd and the driver have no ${what} in common`,
      'Compare `sshd -T` of the host with the algorithms in ~/.ssh/config',
    ],
  ],
  [
    /Timed out while waiting for handshake/,
    () => [
      'sshd took the connection but did not finish the login in time',
      'Check the load of the host and the name service that its sshd asks',
    ],
  ],
  [
    /Connection lost before handshake|Unexpected (end|close) event|ECONNRESET|EPIPE/,
    () => [
      'sshd closed the connection',
      'Look into the log of sshd there: MaxStartups, a firewall or a blocked address are usual reasons',
    ],
  ],
  [
    /Unable to start subsystem|subsystem/,
    () => ['the host gives no SFTP', 'Enable `Subsystem sftp internal-sftp` in its sshd_config'],
  ],
  [
    /Keepalive timeout/,
    (_, { timing }) => [
      `no sign of life from the host for ${(timing.aliveIntervalMs * timing.aliveCountMax) / 1000} s`,
      'Check the host and the network, then try again',
    ],
  ],
];

/** Turns an error of ssh2, or of ssh2-sftp-client, which keeps only its message, into one line. */
function connectError(error: unknown, target: SshTarget, login: Omit<SshLogin, 'agent'>): DriverError {
  const { host } = target;
  const text = error instanceof Error ? error.message : String(error);
  if (/authentication methods failed/.test(text)) return refusedLogin(target, login, error);
  for (const [pattern, meaning] of MEANINGS) {
    const found = pattern.exec(text);
    if (found === null) continue;
    const [what, hint] = meaning(found, target);
    return new DriverError('unreachable', what, { host, hint, cause: error });
  }
  const hint = `Try \`ssh ${host} true\` as the user who runs the driver`;
  return new DriverError('unreachable', `SSH failed: ${text.replace(/^getConnection: /, '')}`, {
    host,
    hint,
    cause: error,
  });
}

function refusedLogin(target: SshTarget, login: Omit<SshLogin, 'agent'>, cause: unknown): DriverError {
  const offered = login.offered.length === 0 ? 'there was no key to offer' : `offered ${login.offered.join(', ')}`;
  // The GSSAPI line of Debian's stock ssh_config says nothing when there were keys.
  const skipped = login.skipped().filter((one) => login.offered.length === 0 || !one.startsWith('GSSAPI'));
  const not = skipped.length === 0 ? '' : `; not used: ${skipped.join('; ')}`;
  const hint =
    login.offered.length === 0
      ? `Give the user who runs the driver a key without a passphrase, or an ssh-agent, for ${target.user}@${target.hostname}`
      : `Add its public key to authorized_keys of ${target.user} there, or name the right key with IdentityFile`;
  return new DriverError('unreachable', `the login of ${target.user} is refused: ${offered}${not}`, {
    host: target.host,
    hint,
    mend: withWarning(keyCommands(target, login)),
    cause,
  });
}

function withWarning(commands: Mend['commands']): Mend {
  if (commands.some(({ command }) => command.startsWith('ssh-copy-id'))) return { commands, when: KEYS_ONLY };
  if (!commands.some(({ command }) => command.includes('ssh-add '))) return { commands };
  const when =
    'This serves one shell: for oned, start it with SSH_AUTH_SOCK of an agent, or use a key without a passphrase';
  return { commands, when };
}

/** What makes the host take a key: one that could not be used, else the first of those that it refused, else a new one. */
function keyCommands({ host, user, auth }: SshTarget, login: Omit<SshLogin, 'agent'>): Mend['commands'] {
  const [usable, ...others] = login.mends.map((command) => ({ command }));
  if (usable !== undefined) return [usable, ...others];
  const isNew = login.offered.length === 0;
  // A path where ssh will look for it, and where nothing is; where there is none, ssh-keygen asks.
  const isTaken = (path: string): boolean => login.skipped().some((one) => one.startsWith(`${path}: `));
  const file = isNew ? auth.identityFiles.find((path) => path.endsWith('ed25519') && !isTaken(path)) : login.files[0];
  const introduce = { command: quote(['ssh-copy-id', ...(file === undefined ? [] : ['-i', file]), `${user}@${host}`]) };
  const make = ['ssh-keygen', '-t', 'ed25519', ...(file === undefined ? [] : ['-q', '-N', '', '-f', file])];
  return isNew ? [{ command: quote(make) }, introduce] : [introduce];
}
