import { execFile, spawn } from 'node:child_process';
import { lstat, mkdir, readdir, readFile, rename, rm, stat, statfs, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { abortController, firstOf } from '../abort';
import type { Command } from '../command/command';
import { lookFor, parseFound, type Supervision } from '../command/supervise';
import { DriverError } from '../errors';
import type { AbsolutePath } from '../opennebula/ids';
import { execute, type RunningProcess } from './execute';
import { type FileEntry, type Files, type Host, type RunOptions, SMALL_FILE_BYTES, type Space } from './host';
import { Supervisor } from './supervisor';

/** What every host of an action shares. */
export interface HostSettings {
  /** The environment of the action itself: PATH, HOME, SSH_AUTH_SOCK. */
  readonly env: NodeJS.ProcessEnv;
  readonly signal: AbortSignal;
  readonly supervision: Omit<Supervision, 'softSignal' | 'binds'>;
  /** Told of each command before it runs, for `--verbose` and progress. */
  readonly trace: (host: string, command: Command<unknown>) => void;
}

/** The signal that ends a run: the action's own; for cleaning up a time limit, and the action's own if it still can fire. */
export function effectiveSignal(signal: AbortSignal, { evenAbortedMs }: RunOptions, purpose: string): AbortSignal {
  if (evenAbortedMs === undefined) return signal;
  const limit = abortController();
  const late = new DriverError('stalled', `cannot ${purpose} within ${evenAbortedMs / 1000} s`);
  setTimeout(() => limit.abort(late), evenAbortedMs).unref();
  return signal.aborted ? limit.signal : firstOf(signal, limit.signal);
}

/** The machine on which the action runs. */
export class LocalHost implements Host {
  readonly name = 'the front-end';
  readonly files: Files = new LocalFiles();
  readonly #settings: HostSettings;
  readonly #supervisor: Supervisor;

  constructor(settings: HostSettings) {
    this.#settings = settings;
    this.#supervisor = new Supervisor(settings.supervision);
  }

  async run<T>(command: Command<T>, options: RunOptions = {}): Promise<T> {
    const { env, signal, trace } = this.#settings;
    trace(this.name, command);
    const running = start(this.#supervisor.argvOf(command), env);
    this.#supervisor.learnFrom(running.stderr);
    return execute(command, running, this.name, effectiveSignal(signal, options, command.purpose), options);
  }

  async programs(names: readonly string[]): Promise<ReadonlySet<string>> {
    const [program, ...args] = lookFor(names);
    return new Promise((resolve) => {
      execFile(program, args, { env: this.#settings.env, timeout: 10_000 }, (_, stdout) =>
        resolve(parseFound(stdout, names)),
      );
    });
  }

  mention(): void {}
}

/** Starts it in a session of its own: it must outlive the action by the moment that its supervisor needs to end it. */
function start([program, ...args]: readonly [string, ...string[]], env: NodeJS.ProcessEnv): RunningProcess {
  const child = spawn(program, args, { stdio: 'pipe', detached: true, env });
  const ended = new Promise<number>((resolve, reject) => {
    child.on('error', (cause) =>
      reject(new DriverError('failed', `cannot start ${program}: ${cause.message}`, { cause })),
    );
    child.on('close', (code, signal) => resolve(code ?? (signal === 'SIGKILL' ? 137 : 143)));
  });
  ended.catch(() => {}); // awaited after the output has been read
  return {
    stdin: child.stdin,
    stdout: child.stdout,
    stderr: child.stderr,
    ended,
    abandon: () => {
      child.kill('SIGKILL');
      child.stdout.destroy(); // what the killed supervisor had started may hold it open
      child.stderr.destroy();
    },
  };
}

class LocalFiles implements Files {
  async space(path: AbsolutePath): Promise<Space> {
    return this.#told(path, async () => {
      const found = await nearest(path, (candidate) => statfs(candidate));
      return { totalBytes: found.blocks * found.bsize, freeBytes: found.bavail * found.bsize };
    });
  }

  async list(path: AbsolutePath): Promise<FileEntry[]> {
    return this.#told(path, async () => {
      const names = await readdir(path);
      return Promise.all(names.map(async (name) => describe(name, await lstat(join(path, name)))));
    });
  }

  async read(path: AbsolutePath): Promise<Buffer> {
    return this.#told(path, async () => {
      refuseLarge((await stat(path)).size);
      return readFile(path);
    });
  }

  async write(path: AbsolutePath, text: string): Promise<void> {
    await this.#told(path, async () => {
      await writeFile(`${path}.part`, text, { mode: 0o600 });
      await rename(`${path}.part`, path);
    });
  }

  async makeFolder(path: AbsolutePath): Promise<void> {
    await this.#told(path, () => mkdir(path, { recursive: true }));
  }

  async rename(from: AbsolutePath, to: AbsolutePath): Promise<void> {
    await this.#told(from, () => rename(from, to));
  }

  async remove(path: AbsolutePath): Promise<void> {
    await this.#told(path, () => rm(path, { recursive: true, force: true }));
  }

  async #told<T>(path: AbsolutePath, act: () => Promise<T>): Promise<T> {
    try {
      return await act();
    } catch (cause) {
      throw fileError(path, cause as NodeJS.ErrnoException, 'the front-end');
    }
  }
}

/** Throws when a file that is to be read at once is larger than any that belongs to a backup. */
export function refuseLarge(sizeBytes: number): void {
  if (sizeBytes > SMALL_FILE_BYTES) throw new Error(`it is larger than ${SMALL_FILE_BYTES / 2 ** 20} MiB`);
}

function describe(name: string, stats: Awaited<ReturnType<typeof lstat>>): FileEntry {
  const type = stats.isFile() ? 'file' : stats.isDirectory() ? 'folder' : stats.isSymbolicLink() ? 'link' : 'other';
  return { name, type, sizeBytes: Number(stats.size), modifiedAt: Math.floor(Number(stats.mtimeMs) / 1000) };
}

/** Asks about the path, or the nearest parent that exists: a folder that is still to be made has a filesystem already. */
export async function nearest<T>(path: AbsolutePath, ask: (candidate: string) => Promise<T>): Promise<T> {
  for (let candidate: string = path; ; candidate = candidate.slice(0, candidate.lastIndexOf('/')) || '/') {
    try {
      return await ask(candidate);
    } catch (error) {
      const missing = ['ENOENT', 'ENOTDIR', 2].includes((error as { code: string | number }).code);
      if (!missing || candidate === '/') throw error;
    }
  }
}

/** Turns the failure of a file operation, here or by SFTP, into an error that names path and host. */
export function fileError(path: string, cause: { code?: unknown; message: string }, host: string): DriverError {
  const details = { host, cause };
  if (cause.code === 'ENOENT' || cause.code === 2)
    return new DriverError('notFound', `${path} does not exist`, details);
  if (cause.code === 'ENOSPC' || cause.code === 'EDQUOT') {
    return new DriverError('noSpace', `no space left for ${path}`, {
      ...details,
      hint: 'Free some space there and try again',
    });
  }
  if (cause.code === 'EACCES' || cause.code === 'EPERM' || cause.code === 3) {
    return new DriverError('failed', `no permission for ${path}`, {
      ...details,
      hint: 'Give it to the user that this host is reached as',
    });
  }
  // The protocol has no more words for what else keeps a file from being written.
  if (/: Failure\b/.test(cause.message)) {
    return new DriverError('failed', `cannot use ${path}: the server says no more than "Failure"`, {
      ...details,
      hint: 'See whether its filesystem is read-only, has no room or no inodes left, or has reached a quota',
    });
  }
  return new DriverError('failed', `cannot use ${path}: ${cause.message}`, details);
}
