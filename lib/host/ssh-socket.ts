import { type ChildProcess, spawn } from 'node:child_process';
import { connect, type Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { firstOf } from '../abort';
import { DriverError } from '../errors';
import { abortReason } from './execute';
import type { SshTarget } from './ssh-config';
import type { SshEnv } from './ssh-program';

/**
 * Opens the byte stream to the host's sshd: a TCP connection, `ssh -W` through the jump hosts, or the ProxyCommand.
 * A program at its other end dies with the stream. Throws unreachable (with address and hint) or cancelled.
 */
export async function openSocket(target: SshTarget, env: SshEnv, signal: AbortSignal): Promise<Duplex> {
  if (signal.aborted) throw abortReason(signal);
  const timeLimit = new AbortController();
  const timer = setTimeout(() => timeLimit.abort(), target.timing.connectTimeoutMs);
  const both = firstOf(signal, timeLimit.signal);
  try {
    return await (target.route.kind === 'direct' ? openTcp(target, both) : openProgram(target, env, both));
  } catch (cause) {
    if (signal.aborted) throw abortReason(signal);
    throw timeLimit.signal.aborted ? unreachable(target, { code: 'ETIMEDOUT' }) : cause;
  } finally {
    clearTimeout(timer);
  }
}

/** One address that does not answer must leave time for the next one of the same name. */
const ADDRESS_TIMEOUT_MS = 5_000;

function openTcp(target: SshTarget, signal: AbortSignal): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({
      host: target.hostname,
      port: target.port,
      family: target.addressFamily,
      ...(target.bindAddress === undefined ? {} : { localAddress: target.bindAddress }),
      autoSelectFamily: true,
      autoSelectFamilyAttemptTimeout: ADDRESS_TIMEOUT_MS,
      noDelay: true, // without it each step of SSH waits 40 ms for a delayed ACK
      keepAlive: true,
      keepAliveInitialDelay: 30_000,
    });
    const abort = (): void => {
      socket.destroy();
      reject(new Error('aborted'));
    };
    signal.addEventListener('abort', abort, { once: true });
    // The listener stays: an error between here and the hand-over to ssh2 must not end the process.
    socket.on('error', (error: NodeJS.ErrnoException) => {
      signal.removeEventListener('abort', abort);
      reject(unreachable(target, error));
    });
    socket.once('connect', () => {
      signal.removeEventListener('abort', abort);
      resolve(socket);
    });
  });
}

/** Returns the program that stands for the TCP connection, as argv. */
export function proxyArgv(target: SshTarget): readonly [string, ...string[]] {
  const { route, hostname, port } = target;
  if (route.kind === 'command') return ['/bin/sh', '-c', `exec ${route.command}`];
  const hops = route.kind === 'jump' ? route.hops : [];
  const last = /^(?:(.+)@)?(\[[^\]]+\]|[^:]+)(?::(\d+))?$/.exec(hops.at(-1) ?? '');
  if (last === null)
    throw new DriverError('unreachable', `ProxyJump ${hops.join(',')} is not a list of hosts`, { host: target.host });
  const [, user, address = '', jumpPort] = last;
  const before = hops.slice(0, -1);
  return [
    'ssh',
    ...['-o', 'BatchMode=yes'],
    ...(before.length === 0 ? [] : ['-J', before.join(',')]),
    ...(user === undefined ? [] : ['-l', user]),
    ...(jumpPort === undefined ? [] : ['-p', jumpPort]),
    ...['-W', `[${hostname}]:${port}`, '--', address.replace(/^\[(.*)\]$/, '$1')],
  ];
}

/** Starts the program and waits for the first bytes, which are the greeting of the host's sshd. */
function openProgram(target: SshTarget, env: SshEnv, signal: AbortSignal): Promise<Duplex> {
  const [program, ...args] = proxyArgv(target);
  const name = target.route.kind === 'jump' ? `the jump host (${target.route.hops.join(',')})` : 'the ProxyCommand';
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'pipe'], detached: true, env });
    let said = '';
    child.stderr.on('data', (chunk: Buffer) => {
      said = (said + chunk.toString('latin1')).slice(-2000);
    });
    const abort = (): void => {
      endGroup(child);
      reject(new Error('aborted'));
    };
    const fail = (): void => {
      signal.removeEventListener('abort', abort);
      endGroup(child);
      const words = said.trim().split('\n').slice(-2).join('; ');
      const hint = 'Try the same as the user who runs the driver';
      const what = `${name} gave no connection${words === '' ? '' : `: ${words}`}`;
      reject(new DriverError('unreachable', what, { host: target.host, hint: `${hint}: \`ssh ${target.host} true\`` }));
    };
    signal.addEventListener('abort', abort, { once: true });
    child.once('error', fail).once('close', fail);
    child.stdout.once('readable', () => {
      if (child.stdout.readableLength === 0) return; // the end: `close` follows
      child.removeListener('close', fail);
      signal.removeEventListener('abort', abort);
      resolve(new ProgramSocket(child as ProxyProcess));
    });
  });
}

type ProxyProcess = ReturnType<typeof spawn> & {
  stdin: NonNullable<ChildProcess['stdin']>;
  stdout: NonNullable<ChildProcess['stdout']>;
};

/** The stdin and stdout of a program as one stream; the program and its children end when it is destroyed. */
class ProgramSocket extends Duplex {
  readonly #child: ProxyProcess;

  constructor(child: ProxyProcess) {
    super({ allowHalfOpen: false });
    this.#child = child;
    child.stdout.on('data', (chunk: Buffer) => {
      if (!this.push(chunk)) child.stdout.pause();
    });
    child.stdout.pause();
    child.stdout.on('end', () => this.push(null));
    child.stdin.on('error', () => {}); // the end of stdout tells the same
    child.on('error', (error) => this.destroy(error));
    this.on('error', () => {});
  }

  override _read(): void {
    this.#child.stdout.resume();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#child.stdin.write(chunk, () => done());
  }

  override _final(done: () => void): void {
    this.#child.stdin.end(() => done());
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    endGroup(this.#child);
    done(error);
  }
}

function endGroup(child: ChildProcess): void {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  try {
    process.kill(-child.pid, 'SIGTERM');
  } catch {
    child.kill('SIGKILL');
  }
}

/** What Node says of a connection that failed; with several addresses, `errors` has one for each. */
interface Failure {
  readonly code?: string | undefined;
  readonly errors?: readonly Failure[];
  readonly message?: string;
}

/** Says why no TCP connection came about, and what the operator can look at. */
function unreachable(target: SshTarget, error: Failure): DriverError {
  const at = `${target.hostname}:${target.port}`;
  const code = error.code ?? error.errors?.at(-1)?.code ?? '';
  const known: Record<string, readonly [string, string]> = {
    ECONNREFUSED: [`nothing listens at ${at}`, 'Check that sshd runs there, and the Port in ~/.ssh/config'],
    ETIMEDOUT: [
      `no answer from ${at} within ${target.timing.connectTimeoutMs / 1000} s`,
      'Check that the host is up and no firewall is between',
    ],
    ENOTFOUND: [
      `no address for the name ${target.hostname}`,
      'Check the name, /etc/hosts and the HostName in ~/.ssh/config',
    ],
    EAI_AGAIN: [`the name service did not answer for ${target.hostname}`, 'Check /etc/resolv.conf and the name server'],
    EHOSTUNREACH: [`no route to ${at}`, 'Check that the host is up, and the routes of the front-end'],
    ENETUNREACH: [`no route to ${at}`, 'Check the routes of the front-end'],
  };
  const [what, hint] = known[code] ?? [
    `cannot connect to ${at}: ${error.message ?? code}`,
    'Check that the host is up',
  ];
  return new DriverError('unreachable', what, { host: target.host, hint, cause: error });
}
