import type { Duplex } from 'node:stream';
import type { Client, ClientChannel } from 'ssh2';
import type SftpClient from 'ssh2-sftp-client';
import type { Command } from '../command/command';
import { quote } from '../command/quote';
import { lookFor, parseFound } from '../command/supervise';
import { DriverError } from '../errors';
import { abortReason, execute, type RunningProcess } from './execute';
import type { Files, Host, RunOptions } from './host';
import { effectiveSignal, type HostSettings } from './local';
import { connectionLost, SftpFiles } from './sftp-files';
import type { SshTarget } from './ssh-config';
import { ssh2Config } from './ssh-connect-config';
import { startProgram } from './ssh-exec';
import { hastenFirstAnswers } from './ssh-nudge';
import { Supervisor } from './supervisor';

/** How long connecting may take once the action has been aborted, in milliseconds. */
const LATE_CONNECT_LIMIT_MS = 5_000;
/** How long login and the start of SFTP may take together, in milliseconds. */
const SFTP_LIMIT_MS = 45_000;
/** How long a host may take to say which programs it has, in milliseconds. */
const PROBE_LIMIT_MS = 10_000;

/** A machine reached by SSH: one connection, made when first needed, for programs and files together. */
export class RemoteHost implements Host {
  readonly name: string;
  readonly files: Files;
  readonly #target: SshTarget;
  readonly #settings: HostSettings;
  readonly #supervisor: Supervisor;
  #connection: Promise<SftpClient> | undefined;
  #socket: Duplex | undefined;

  constructor(name: string, target: SshTarget, settings: HostSettings) {
    this.name = name;
    this.#target = target;
    this.#settings = settings;
    this.#supervisor = new Supervisor(settings.supervision);
    this.files = new SftpFiles(name, () => this.#connect());
  }

  async run<T>(command: Command<T>, options: RunOptions = {}): Promise<T> {
    const { signal, trace } = this.#settings;
    const sftp = await this.#connect();
    trace(this.name, command);
    const channel = await this.#start(sftp, quote(this.#supervisor.argvOf(command)), command.logsInElsewhere);
    this.#supervisor.learnFrom(channel.stderr);
    return execute(
      command,
      this.#running(channel),
      this.name,
      effectiveSignal(signal, options, command.purpose),
      options,
    );
  }

  /** Asked with stdin closed from the start: an SFTP-only account runs its SFTP server instead, which then ends at once. */
  async programs(names: readonly string[]): Promise<ReadonlySet<string>> {
    const channel = await this.#start(await this.#connect(), quote(lookFor(names)));
    channel.end();
    const limit = setTimeout(() => channel.destroy(), PROBE_LIMIT_MS);
    let stdout = '';
    channel.on('data', (chunk: Buffer) => {
      stdout = (stdout + chunk.toString('latin1')).slice(-10_000);
    });
    channel.stderr.resume();
    await new Promise<void>((resolve) => channel.once('close', resolve));
    clearTimeout(limit);
    return parseFound(stdout, names);
  }

  mention(): void {}

  /** Closes the connection. What still runs over it ends by itself. */
  async close(): Promise<void> {
    const sftp = await this.#connection?.catch(() => undefined);
    if (sftp !== undefined) sshOf(sftp).end();
  }

  #connect(): Promise<SftpClient> {
    const { signal } = this.#settings;
    const isLate = signal.aborted;
    this.#connection ??= this.#open().catch((error) => {
      // What was under way when the action was aborted: cleaning up connects anew, and only once.
      if (signal.aborted && !isLate) this.#connection = undefined;
      throw error;
    });
    return this.#connection;
  }

  async #open(): Promise<SftpClient> {
    const { env } = this.#settings;
    // Cleaning up after an abort may need a host that the action had not needed before.
    const signal = this.#settings.signal.aborted ? AbortSignal.timeout(LATE_CONNECT_LIMIT_MS) : this.#settings.signal;
    const { default: Client } = await import('ssh2-sftp-client');
    const ignore = (): void => {}; // each request tells of its own failure
    const sftp = new Client(this.name, { error: ignore, end: ignore, close: ignore });
    const { config, explain } = await ssh2Config(this.#target, env, signal);
    this.#socket = config.sock;
    const limit = new AbortController(); // ssh2's own time limit ends with the login
    const timer = setTimeout(() => limit.abort(), SFTP_LIMIT_MS);
    const giveUp = (): void => void config.sock.destroy();
    for (const one of [signal, limit.signal]) one.addEventListener('abort', giveUp);
    try {
      sshOf(sftp).setMaxListeners(0); // each request of ssh2-sftp-client listens while it is under way
      hastenFirstAnswers(sshOf(sftp));
      await sftp.connect({ ...config, agentForward: false }); // programs ask for it one by one, where sshd allows it
    } catch (error) {
      if (signal.aborted) throw abortReason(signal);
      if (!limit.signal.aborted) throw explain(error);
      throw new DriverError(
        'unreachable',
        `the host takes the login, but starts no SFTP in ${SFTP_LIMIT_MS / 1000} s`,
        {
          host: this.name,
          hint: 'Look at "Subsystem sftp" and ForceCommand in its sshd_config, and for a hung home folder',
        },
      );
    } finally {
      clearTimeout(timer);
      for (const one of [signal, limit.signal]) one.removeEventListener('abort', giveUp);
    }
    return sftp;
  }

  async #start(sftp: SftpClient, line: string, withAgent = false): Promise<ClientChannel> {
    return startProgram(sshOf(sftp), line, withAgent).catch((cause) => {
      throw this.#lost(cause);
    });
  }

  #running(channel: ClientChannel): RunningProcess {
    const ended = new Promise<number>((resolve, reject) => {
      let code: number | undefined;
      channel.on('exit', (exitCode: number | null, signal?: string) => {
        code = exitCode ?? (signal === 'KILL' || signal === 'SIGKILL' ? 137 : 143);
      });
      channel.on('close', () => (code === undefined ? reject(this.#lost(undefined)) : resolve(code)));
    });
    ended.catch(() => {}); // awaited after the output has been read
    return { stdin: channel, stdout: channel, stderr: channel.stderr, ended, abandon: () => this.#socket?.destroy() };
  }

  #lost(cause: unknown): DriverError {
    return connectionLost(this.name, cause);
  }
}

/** The SSH connection that ssh2-sftp-client rides on, which its types do not declare. */
function sshOf(sftp: SftpClient): Client {
  return (sftp as unknown as { readonly client: Client }).client;
}
