import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { hasEnded } from './waits';

/** What a private world of SSH is to be like. */
export interface WorldOptions {
  /** Keys are exchanged as OpenSSH does by itself, for what is measured against it. */
  readonly usualKeyExchange?: boolean;
  /** The names that `ssh NAME` reaches. All are this machine, with one file system. */
  readonly names: readonly string[];
  /** Names of machines that are running already; they must accept the key of the world. */
  readonly elsewhere?: Readonly<
    Record<string, { readonly port: number; readonly user: string; readonly knownHostsLine: string }>
  >;
  /** How many sshds share the names in turn; 1 unless told. Names of one sshd have the same host key and port. */
  readonly sshds?: number;
  /** The login on a name, when it is not the user who runs the test (which needs root). */
  readonly users?: Readonly<Record<string, string>>;
  /** Names that give SFTP and nothing else; each has an sshd of its own. */
  readonly sftpOnly?: readonly string[];
  /** Names whose host key is in no known-hosts file: `knownHosts(name)` is theirs, and empty. */
  readonly unknown?: readonly string[];
  /** Names that are reached through another one: `{ inner: 'jump' }`. */
  readonly via?: Readonly<Record<string, string>>;
  /** The types of host key of every sshd; `['ed25519']` unless told. known_hosts gets all of them. */
  readonly hostKeys?: readonly KeyType[];
  /** Folders in front of the PATH of what runs on the hosts. */
  readonly hostPath?: readonly string[];
  /** Lines for the top of every sshd_config, such as `MaxSessions 2`. */
  readonly sshdConfig?: string;
  /** Gives the hosts the user's key, so that they reach each other also without a forwarded agent. */
  readonly keyOnHosts?: boolean;
}

/** A type of key as ssh-keygen names it. */
export type KeyType = 'ed25519' | 'ecdsa' | 'rsa';

/** A running sshd; its own children are not counted here. */
export interface Sshd {
  readonly port: number;
  readonly log: string;
  readonly process: ChildProcess;
}

const SSHD = '/usr/sbin/sshd';
/** The PATH that a host has without our wrappers. */
export const HOST_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
/** Marks the processes of a world in their environment. */
export const MARK = 'BACKUP_TEST_WORLD';

/** Starts one sshd on a free port of 127.0.0.1, with its own host keys, and waits until it listens. */
export async function startSshd(
  options: WorldOptions,
  folder: string,
  number: number,
  sftpOnly: boolean,
): Promise<Sshd> {
  if (userInfo().uid === 0) mkdirSync('/run/sshd', { recursive: true, mode: 0o755 });
  const base = join(folder, `sshd${number}`);
  const types = options.hostKeys ?? ['ed25519'];
  const hostKeys = types.map((type) => makeKeyPair(`${base}.${type}`, type, ''));
  const path = [join(folder, 'host-bin'), ...(options.hostPath ?? []), HOST_PATH].join(':');
  for (let attempt = 1; ; attempt++) {
    const port = await freePort();
    const lines = [
      ...(options.sshdConfig?.split('\n') ?? []),
      `Port ${port}`,
      'ListenAddress 127.0.0.1',
      ...hostKeys.map((hostKey) => `HostKey ${hostKey}`),
      `AuthorizedKeysFile ${join(folder, 'authorized_keys')}`,
      'PidFile none',
      'StrictModes no',
      'UsePAM no',
      'PasswordAuthentication no',
      'KbdInteractiveAuthentication no',
      'PermitRootLogin prohibit-password',
      'MaxStartups 100',
      'LogLevel VERBOSE',
      'PrintMotd no',
      'PrintLastLog no',
      'Subsystem sftp internal-sftp',
      ...(sftpOnly ? ['ForceCommand internal-sftp'] : []),
      `SetEnv PATH=${path} HOME=${join(folder, 'home')} ${MARK}=${folder}`, // sshd heeds the first SetEnv line only
    ];
    writeFileSync(`${base}.conf`, `${lines.join('\n')}\n`);
    const log = `${base}.log`;
    writeFileSync(log, '');
    // It must not outlive the test, however that ends.
    const args = ['--pdeathsig', 'KILL', SSHD, '-D', '-f', `${base}.conf`, '-E', log];
    const sshd = spawn('setpriv', args, { stdio: ['ignore', 'ignore', 'inherit'], env: { PATH: HOST_PATH } });
    if (await listens(sshd, log)) {
      sshd.unref();
      return { port, log, process: sshd };
    }
    sshd.kill('SIGKILL');
    const said = readFileSync(log, 'utf8');
    if (attempt === 5 || !/Address already in use/.test(said)) throw new Error(`sshd does not start: ${said}`);
  }
}

async function listens(sshd: ChildProcess, log: string): Promise<boolean> {
  let failed: Error | undefined;
  sshd.once('error', (error) => {
    failed = error;
  });
  for (let waited = 0; waited < 60_000; waited += 5) {
    if (failed !== undefined) throw failed;
    const said = readFileSync(log, 'utf8');
    if (said.includes('Server listening')) return true;
    if (hasEnded(sshd) || said.includes('Address already in use')) return false;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  return false;
}

/** Makes a key pair and returns the path of the private key. */
export function makeKeyPair(path: string, type: KeyType, passphrase: string): string {
  const bits = type === 'rsa' ? ['-b', '2048'] : [];
  execFileSync('ssh-keygen', ['-q', '-t', type, ...bits, '-N', passphrase, '-C', 'test', '-f', path], {
    stdio: 'pipe',
  });
  return path;
}

/** Returns the lines that known_hosts has for an sshd: one for each of its keys. */
export function knownLines({ port, log }: Sshd): string {
  const base = log.replace(/\.log$/, '');
  const types: readonly KeyType[] = ['ed25519', 'ecdsa', 'rsa'];
  const there = types.map((type) => `${base}.${type}.pub`).filter((path) => existsSync(path));
  return there.map((path) => `[127.0.0.1]:${port} ${readFileSync(path, 'utf8')}`).join('');
}

/** Returns a TCP port of 127.0.0.1 on which nothing listens. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() =>
        typeof address === 'object' && address !== null ? resolve(address.port) : reject(new Error('no port')),
      );
    });
  });
}
