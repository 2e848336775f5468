import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { killMarked, killTree } from './processes';
import {
  HOST_PATH,
  type KeyType,
  knownLines,
  MARK,
  makeKeyPair,
  type Sshd,
  startSshd,
  type WorldOptions,
} from './sshd-process';

/** A running world. Nothing of it is outside its folder; `stop` removes it. */
export interface World {
  readonly folder: string;
  /** The folder with the `ssh`, `scp` and `sftp` that know the names. */
  readonly bin: string;
  /** HOME of what runs on the hosts; the user's own shell start files are not read there. */
  readonly home: string;
  /** The ssh_config of the front-end. */
  readonly config: string;
  /** The private key that every sshd accepts. */
  readonly key: string;
  /** The environment for programs of the front-end: PATH begins with `bin`; there is no ssh-agent. */
  readonly env: NodeJS.ProcessEnv;
  port(name: string): number;
  knownHosts(name: string): string;
  /** Puts lines in front of the front-end's ssh_config: they win. */
  configure(text: string): void;
  /** Makes a key pair in the folder and returns its path. */
  makeKey(name: string, options?: { type?: KeyType; passphrase?: string; authorized?: boolean }): string;
  /** How many logins by key there were, on the sshd of a name or on all. */
  connections(name?: string): number;
  /** What the sshds logged. */
  log(): string;
  /** Kills every sshd and what runs on the hosts, and removes the folder. */
  stop(): void;
}

/** Starts sshds on 127.0.0.1 and a configuration by which `ssh NAME` reaches them. Works as root and as an ordinary user. */
export async function startSshWorld(options: WorldOptions): Promise<World> {
  const folder = mkdtempSync(join(tmpdir(), 'ssh-world-'));
  const sshds = new Map<string, Sshd>();
  const stop = (): void => {
    process.removeListener('exit', stop);
    for (const { process } of sshds.values()) killTree(process.pid);
    killMarked(MARK, folder);
    rmSync(folder, { recursive: true, force: true, maxRetries: 3 });
  };
  process.once('exit', stop);
  try {
    return await buildWorld(options, folder, sshds, stop);
  } catch (error) {
    stop();
    throw error;
  }
}

async function buildWorld(
  options: WorldOptions,
  folder: string,
  sshds: Map<string, Sshd>,
  stop: () => void,
): Promise<World> {
  const { names, sftpOnly = [], unknown = [], sshds: count = 1 } = options;
  const inFolder = (name: string): string => join(folder, name);
  const key = makeKeyPair(inFolder('id_ed25519'), 'ed25519', '');
  const authorized = inFolder('authorized_keys');
  writeFileSync(authorized, readFileSync(`${key}.pub`), { mode: 0o644 });
  chmodSync(folder, 0o755); // sshd reads authorized_keys as the user who logs in
  for (const name of ['home', 'bin', 'host-bin']) mkdirSync(inFolder(name), { mode: 0o755 });
  writeWrappers(inFolder('bin'), inFolder('ssh_config'));
  writeWrappers(inFolder('host-bin'), inFolder('ssh_config.hosts'));

  const ordinary = names.filter((name) => !sftpOnly.includes(name));
  const groups = Array.from({ length: count }, (_, index) => ordinary.filter((_name, i) => i % count === index));
  let number = 0;
  for (const group of [...groups, ...sftpOnly.map((name) => [name])].filter(({ length }) => length > 0)) {
    const sshd = await startSshd(options, folder, number++, sftpOnly.includes(group[0] as string));
    for (const name of group) sshds.set(name, sshd);
  }

  const knownHosts = (name: string): string => inFolder(unknown.includes(name) ? `known_hosts.${name}` : 'known_hosts');
  const sshdOf = (name: string): Sshd => {
    const sshd = sshds.get(name);
    if (sshd === undefined) throw new Error(`the world has no ${name}`);
    return sshd;
  };
  const others = Object.values(options.elsewhere ?? {}).map(({ knownHostsLine }) => knownHostsLine);
  writeFileSync(inFolder('known_hosts'), [...[...new Set(sshds.values())].map(knownLines), ...others].join(''));
  for (const name of unknown) writeFileSync(knownHosts(name), '');
  const config = (identity: string): string => {
    const blocks = names.map((name) => {
      const user = options.users?.[name] ?? userInfo().username;
      const jump = options.via?.[name];
      return [
        `Host ${name}`,
        `  Port ${sshdOf(name).port}`,
        `  User ${user}`,
        `  UserKnownHostsFile ${knownHosts(name)}`,
        ...(jump === undefined ? [] : [`  ProxyJump ${jump}`]),
        '',
      ].join('\n');
    });
    for (const [name, { port, user }] of Object.entries(options.elsewhere ?? {})) {
      blocks.push(`Host ${name}\n  Port ${port}\n  User ${user}\n  UserKnownHostsFile ${knownHosts(name)}\n`);
    }
    const common = [
      'HostName 127.0.0.1',
      'GlobalKnownHostsFile none',
      'BatchMode yes',
      'ForwardAgent yes',
      // OpenSSH's own choice from 9.0 on costs its client some 50 ms of computing for each connection.
      ...(options.usualKeyExchange === true ? [] : ['KexAlgorithms -sntrup761*,mlkem768*']),
      ...identity.split('\n'),
    ];
    return `${blocks.join('\n')}\nHost *\n${common.map((line) => `  ${line}\n`).join('')}`;
  };
  const ownKey = `IdentityFile ${key}\nIdentitiesOnly yes`;
  writeFileSync(inFolder('ssh_config'), config(ownKey));
  writeFileSync(inFolder('ssh_config.hosts'), config(options.keyOnHosts === true ? ownKey : 'IdentityFile none'));

  // A front-end has no file of more CAs either; reading one doubles the time that Node takes to start.
  const { SSH_AUTH_SOCK: _none, NODE_EXTRA_CA_CERTS: _neither, ...inherited } = process.env;
  const logs = (): string[] => [...new Set(sshds.values())].map(({ log }) => log);
  const accepted = (log: string): number => readFileSync(log, 'utf8').split('Accepted publickey').length - 1;
  return {
    folder,
    bin: inFolder('bin'),
    home: inFolder('home'),
    config: inFolder('ssh_config'),
    key,
    env: { ...inherited, PATH: `${inFolder('bin')}:${process.env.PATH ?? HOST_PATH}`, [MARK]: folder },
    port: (name) => options.elsewhere?.[name]?.port ?? sshdOf(name).port,
    knownHosts,
    configure: (text) =>
      writeFileSync(inFolder('ssh_config'), `${text}\n${readFileSync(inFolder('ssh_config'), 'utf8')}`),
    makeKey: (name, { type = 'ed25519', passphrase = '', authorized: accept = true } = {}) => {
      const path = makeKeyPair(inFolder(name), type, passphrase);
      if (accept) writeFileSync(authorized, readFileSync(`${path}.pub`), { flag: 'a' });
      return path;
    },
    connections: (name) =>
      (name === undefined ? logs() : [sshdOf(name).log]).reduce((sum, log) => sum + accepted(log), 0),
    log: () =>
      logs()
        .map((log) => readFileSync(log, 'utf8'))
        .join(''),
    stop,
  };
}

function writeWrappers(bin: string, config: string): void {
  for (const program of ['ssh', 'scp', 'sftp']) {
    writeFileSync(join(bin, program), `#!/bin/sh\nexec /usr/bin/${program} -F ${config} "$@"\n`, { mode: 0o755 });
  }
}
