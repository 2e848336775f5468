import type { HostName, UserName } from '../opennebula/ids';
import { DryHost, type Print } from './dry';
import type { Host } from './host';
import { loadSsh2 } from './load-ssh2';
import { type HostSettings, LocalHost } from './local';
import { RemoteHost } from './remote';
import { resolveSsh } from './ssh-config';

/** The machines of one action. */
export interface Hosts {
  /** The machine on which the action runs. */
  readonly local: Host;
  /** A machine by SSH, as `user` or as oneadmin's configuration says. Throws `unreachable` or `config`. */
  at(name: HostName, user?: UserName): Promise<Host>;
  /** Closes all connections. */
  close(): Promise<void>;
}

/** The real machines: one connection for each, also when two names mean the same one. */
export class RealHosts implements Hosts {
  readonly local: Host;
  readonly #settings: HostSettings;
  readonly #remote = new Map<string, RemoteHost>();
  /** By the name under which each was asked for: that is found out once, and not again when the action was aborted. */
  readonly #asked = new Map<string, RemoteHost>();

  constructor(settings: HostSettings) {
    this.#settings = settings;
    this.local = new LocalHost(settings);
  }

  async at(name: HostName, user?: UserName): Promise<Host> {
    const asked = JSON.stringify([name, user]);
    const known = this.#asked.get(asked);
    if (known !== undefined) return known;
    loadSsh2().catch(() => {}); // while ssh is asked, for it takes as long; who needs it meets the failure
    const target = await resolveSsh(name, user, this.#settings.env, this.#settings.signal);
    const key = JSON.stringify([target.user, target.hostname, target.port, target.route]);
    const host = this.#remote.get(key) ?? new RemoteHost(name, target, this.#settings);
    this.#remote.set(key, host);
    this.#asked.set(asked, host);
    return host;
  }

  async close(): Promise<void> {
    await Promise.all([...this.#remote.values()].map((host) => host.close()));
  }
}

/** The machines of a dry run. */
export class DryHosts implements Hosts {
  readonly local: Host;
  readonly #print: Print;

  constructor(print: Print) {
    this.#print = print;
    this.local = new DryHost('the front-end', print);
  }

  async at(name: HostName, user?: UserName): Promise<Host> {
    return new DryHost(user === undefined ? name : `${user}@${name}`, this.#print);
  }

  async close(): Promise<void> {}
}
