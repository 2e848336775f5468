import { userInfo } from 'node:os';
import { DriverError } from '../errors';
import type { HostName, UserName } from '../opennebula/ids';
import { runSshProgram, type SshEnv } from './ssh-program';
import { expandPath, expandTokens, type TokenValues } from './ssh-tokens';

/** How the bytes reach the host's sshd. */
type SshRoute =
  | { readonly kind: 'direct' }
  /** Through `ssh -W`; the last hop is the one that connects to the host. */
  | { readonly kind: 'jump'; readonly hops: readonly string[] }
  /** Through a shell command, tokens already expanded. */
  | { readonly kind: 'command'; readonly command: string };

/** What `ssh HOST` of the same user would do, as far as a connection is concerned. */
export interface SshTarget {
  /** The host as the operator knows it: what errors name. */
  readonly host: HostName;
  readonly hostname: string;
  readonly port: number;
  readonly user: string;
  readonly route: SshRoute;
  /** 4 or 6 when AddressFamily restricts it, else 0. */
  readonly addressFamily: 0 | 4 | 6;
  readonly bindAddress: string | undefined;
  readonly auth: SshAuth;
  readonly hostKey: HostKeyPolicy;
  readonly timing: SshTiming;
  /** The algorithms that the configuration allows, in its order; the names are OpenSSH's. */
  readonly algorithms: Readonly<Record<'cipher' | 'hmac' | 'kex' | 'serverHostKey', readonly string[]>>;
}

/** Who logs in, and with which keys. */
export interface SshAuth {
  /** Absolute or cwd-relative paths, in the configured order; most of ssh's default names do not exist. */
  readonly identityFiles: readonly string[];
  readonly identitiesOnly: boolean;
  /** The socket of the agent; undefined: none is configured. */
  readonly agentSocket: string | undefined;
  readonly certificateFiles: readonly string[];
  /** What the configuration asks for and ssh2 cannot do; told only when the login fails. */
  readonly unsupported: readonly string[];
}

/** Whether a host key is to be trusted. */
export interface HostKeyPolicy {
  /** The name under which known_hosts has the host: HostKeyAlias, the host name, or `[name]:port`. */
  readonly name: string;
  readonly alias: string | undefined;
  readonly userFiles: readonly string[];
  readonly globalFiles: readonly string[];
  /** StrictHostKeyChecking `accept-new` and `no`: an unknown key is accepted and recorded. */
  readonly acceptUnknown: boolean;
  readonly hashNames: boolean;
}

/** Limits of the connection, in milliseconds. */
interface SshTiming {
  readonly connectTimeoutMs: number;
  readonly aliveIntervalMs: number;
  readonly aliveCountMax: number;
}

/** The options that `ssh -G` printed, by lower-case keyword; one that may repeat has several values. */
export type SshOptions = ReadonlyMap<string, readonly string[]>;

/** Parses the output of `ssh -G`: a keyword, a blank and the value on each line. */
export function parseSshG(text: string): SshOptions {
  const options = new Map<string, string[]>();
  for (const line of text.split('\n')) {
    const blank = line.indexOf(' ');
    if (blank < 1) continue;
    const keyword = line.slice(0, blank).toLowerCase();
    options.set(keyword, [...(options.get(keyword) ?? []), line.slice(blank + 1).trim()]);
  }
  return options;
}

/**
 * Returns how `ssh HOST` of the same user would connect, by asking `ssh -G` once.
 * `user` is the login that a datastore asks for; undefined leaves it to ssh_config.
 * Throws unreachable when the ssh configuration is wrong, and what {@link runSshProgram} throws.
 */
export async function resolveSsh(
  host: HostName,
  user: UserName | undefined,
  env: SshEnv,
  signal: AbortSignal,
): Promise<SshTarget> {
  const login = user === undefined ? [] : ['-l', user];
  const answer = await runSshProgram('ssh', ['-G', ...login, '--', host], env, signal);
  if (answer.code !== 0) {
    const lines = answer.stderr.split('\n').filter((line) => line !== '' && !line.startsWith('Pseudo-terminal'));
    const hint = `Mend the ssh configuration until \`ssh -G ${host}\` succeeds`;
    throw new DriverError('unreachable', `ssh refuses its configuration: ${lines.join('; ')}`, { host, hint });
  }
  return sshTarget(host, parseSshG(answer.stdout), env);
}

/** Turns the options of `ssh -G` into a target. `local` is who runs the action: by default the passwd entry of this process. */
export function sshTarget(
  host: HostName,
  options: SshOptions,
  env: SshEnv,
  local: TokenValues['local'] = whoRuns(),
): SshTarget {
  const one = (keyword: string): string | undefined => unlessNone(options.get(keyword)?.[0]);
  const words = (keyword: string, separator: string): string[] => one(keyword)?.split(separator).filter(Boolean) ?? [];
  const hostname = (one('hostname') ?? host).replace(/^\[(.*)\]$/, '$1');
  const port = Number(one('port') ?? 22);
  const user = one('user') ?? local.user;
  const plain: TokenValues = { host, hostname, port, user, hostKeyAlias: undefined, local };
  const alias = one('hostkeyalias');
  const tokens: TokenValues = { ...plain, hostKeyAlias: alias === undefined ? undefined : expandTokens(alias, plain) };
  const paths = (names: readonly string[]): string[] =>
    names.filter((name) => unlessNone(name) !== undefined).map((name) => expandPath(name, tokens, env));
  const knownAs = tokens.hostKeyAlias ?? (port === 22 ? hostname : `[${hostname}]:${port}`);
  return {
    host,
    hostname,
    port,
    user,
    route: routeOf(one('proxyjump'), one('proxycommand'), tokens),
    addressFamily: one('addressfamily') === 'inet' ? 4 : one('addressfamily') === 'inet6' ? 6 : 0,
    bindAddress: one('bindaddress'),
    auth: {
      identityFiles: paths(options.get('identityfile') ?? []),
      identitiesOnly: one('identitiesonly') === 'yes',
      agentSocket: agentSocket(options.get('identityagent')?.[0], tokens, env),
      certificateFiles: paths(options.get('certificatefile') ?? []),
      unsupported: unsupported(one),
    },
    hostKey: {
      name: knownAs.toLowerCase(),
      alias: tokens.hostKeyAlias,
      userFiles: paths(words('userknownhostsfile', ' ')),
      globalFiles: paths(words('globalknownhostsfile', ' ')),
      acceptUnknown: ['accept-new', 'no', 'off', 'false'].includes(one('stricthostkeychecking') ?? 'ask'),
      hashNames: one('hashknownhosts') === 'yes',
    },
    timing: timing(one),
    algorithms: {
      cipher: words('ciphers', ','),
      hmac: words('macs', ','),
      kex: words('kexalgorithms', ','),
      serverHostKey: words('hostkeyalgorithms', ','),
    },
  };
}

function whoRuns(): TokenValues['local'] {
  const { username, uid, homedir } = userInfo();
  return { user: username, uid, home: homedir };
}

function unlessNone(value: string | undefined): string | undefined {
  return value === undefined || value.toLowerCase() === 'none' ? undefined : value;
}

function routeOf(jump: string | undefined, command: string | undefined, tokens: TokenValues): SshRoute {
  if (jump !== undefined) return { kind: 'jump', hops: jump.split(',') };
  return command === undefined ? { kind: 'direct' } : { kind: 'command', command: expandTokens(command, tokens) };
}

/** IdentityAgent (ssh_config(5)): `none`, a path, `SSH_AUTH_SOCK`, or `$NAME` of a variable that holds the path. */
function agentSocket(configured: string | undefined, tokens: TokenValues, env: SshEnv): string | undefined {
  if (configured === undefined || configured === 'SSH_AUTH_SOCK') return env.SSH_AUTH_SOCK || undefined;
  if (unlessNone(configured) === undefined) return undefined;
  const name = /^\$([A-Za-z_][A-Za-z0-9_]*)$/.exec(configured)?.[1];
  return name === undefined ? expandPath(configured, tokens, env) : env[name] || undefined;
}

function unsupported(one: (keyword: string) => string | undefined): string[] {
  const pkcs11 = one('pkcs11provider');
  return [
    ...(pkcs11 === undefined ? [] : [`PKCS11Provider ${pkcs11} (only through an agent: ssh-add -s)`]),
    ...(one('pubkeyauthentication') === 'no' ? ['PubkeyAuthentication no (the driver logs in with keys only)'] : []),
    ...(one('gssapiauthentication') === 'yes' ? ['GSSAPIAuthentication (the driver logs in with keys only)'] : []),
  ];
}

/** ssh itself waits for ever by default. Debian's ssh sets 300 s of ServerAliveInterval with BatchMode: that is not a wish either. */
function timing(one: (keyword: string) => string | undefined): SshTiming {
  const connect = Number(one('connecttimeout') ?? 0);
  const interval = Number(one('serveraliveinterval') ?? 0);
  const unset = !(interval > 0) || (interval === 300 && one('batchmode') === 'yes');
  return {
    connectTimeoutMs: connect > 0 ? connect * 1000 : 20_000,
    aliveIntervalMs: unset ? 15_000 : interval * 1000,
    aliveCountMax: unset ? 4 : Number(one('serveralivecountmax') ?? 3),
  };
}
