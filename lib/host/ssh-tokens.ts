import { hostname as localHostname } from 'node:os';
import type { SshEnv } from './ssh-program';

/** What the tokens of ssh_config(5) stand for in one connection. */
export interface TokenValues {
  /** The host as it was given on the command line: `%n`. */
  readonly host: string;
  /** What is connected to: `%h`. */
  readonly hostname: string;
  readonly port: number;
  /** The user on the host: `%r`. */
  readonly user: string;
  /** HostKeyAlias when there is one: `%k`. */
  readonly hostKeyAlias: string | undefined;
  /** Who runs the action. Like ssh, and unlike a shell, the home folder is that of the passwd entry, not of HOME. */
  readonly local: { readonly user: string; readonly uid: number; readonly home: string };
}

function tokenTable(values: TokenValues): Readonly<Record<string, string>> {
  const machine = localHostname();
  return {
    '%': '%',
    d: values.local.home,
    h: values.hostname,
    i: String(values.local.uid),
    k: values.hostKeyAlias ?? values.host,
    L: machine.split('.')[0] ?? machine,
    l: machine,
    n: values.host,
    p: String(values.port),
    r: values.user,
    u: values.local.user,
  };
}

/** Expands `%h`, `%p`, `%r`, `%n`, `%u`, `%d`, `%i`, `%k`, `%L`, `%l` and `%%` (ssh_config(5), TOKENS); any other stays as it is. */
export function expandTokens(text: string, values: TokenValues): string {
  const table = tokenTable(values);
  return text.replace(/%(.)/g, (whole, name: string) => table[name] ?? whole);
}

/** Expands a file name of ssh_config(5): a leading `~`, then `${NAME}` of the environment, then the tokens. */
export function expandPath(text: string, values: TokenValues, env: SshEnv): string {
  const home = text === '~' || text.startsWith('~/') ? values.local.home + text.slice(1) : text;
  const named = home.replace(/\$\{([A-Za-z_][A-Za-z0-9_]*)\}/g, (whole, name: string) => env[name] ?? whole);
  return expandTokens(named, values);
}
