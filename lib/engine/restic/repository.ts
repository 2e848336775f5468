import { setTimeout as sleep } from 'node:timers/promises';
import type { Command } from '../../command/command';
import * as restic from '../../command/restic';
import { type ResticAccess, withoutQuotes } from '../../command/restic-access';
import { NO_REASON } from '../../command/restic-failure';
import type { Snapshot } from '../../command/restic-output';
import { askSsh } from '../../command/ssh-client';
import { asDriverError, DriverError } from '../../errors';
import type { Host, RunOptions } from '../../host/host';
import type { Hosts } from '../../host/hosts';
import { type AbsolutePath, joinPath, parseAbsolutePath, parseHostName, type VmId } from '../../opennebula/ids';
import { vmTag } from './chain';

/** Pauses between two tries while a lock is held, in milliseconds: growing, so that many waiters do not crowd in. */
const FIRST_PAUSE_MS = 1_000;
const LONGEST_PAUSE_MS = 30_000;
/** How long looking for stale locks may take, in milliseconds. */
const UNLOCK_LIMIT_MS = 60_000;

/** What waiting for a lock needs. */
export interface Patience {
  readonly waitSeconds: number;
  readonly signal: AbortSignal;
  readonly log: (text: string) => void;
  /** For asking the host that holds a lock whether its holder is still alive. */
  readonly hosts: Hosts;
}

/** One repository, as one host opens it. */
export class Repository {
  readonly host: Host;
  readonly access: ResticAccess;
  readonly #patience: Patience;
  /** How restic reaches the repository from any other host than the backup server. */
  readonly #elsewhere: ResticAccess;
  /** Of a repository that opens without the quotes of the password only. */
  #opensWith: Command<unknown>['secrets'];

  constructor(host: Host, access: ResticAccess, elsewhere: ResticAccess, patience: Patience) {
    this.host = host;
    this.access = access;
    this.#elsewhere = elsewhere;
    this.#patience = patience;
  }

  get path(): AbsolutePath {
    return this.access.repository;
  }

  /** Runs a command that takes no lock, or whose lock the caller handles. */
  async run<T>(command: Command<T>, options?: RunOptions): Promise<T> {
    const run = (secrets = this.#opensWith): Promise<T> =>
      this.host.run(secrets === undefined ? command : { ...command, secrets }, options);
    try {
      return await run().catch(async (error: unknown) => {
        const bare = this.#opensWith === undefined ? withoutQuotes(this.access.password) : undefined;
        if (bare === undefined || asDriverError(error).kind !== 'password') throw error;
        const secrets = { RESTIC_PASSWORD: bare };
        const result = await run(secrets).catch(() => {
          throw error;
        });
        this.#opensWith = secrets;
        return result;
      });
    } catch (error) {
      throw await this.#withReason(error);
    }
  }

  /**
   * Runs a command; while the repository is locked, removes the lock if it is stale, else waits and tries again.
   * Throws `locked`, naming the holder, when that takes longer than the datastore allows.
   */
  async runPatiently<T>(command: Command<T>, options?: RunOptions): Promise<T> {
    const { waitSeconds, signal, log } = this.#patience;
    const deadline = Date.now() + waitSeconds * 1000;
    for (
      let pauseMs = FIRST_PAUSE_MS, first = true;
      ;
      pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS), first = false
    ) {
      try {
        return await this.run(command, options);
      } catch (error) {
        if (!(error instanceof DriverError) || error.kind !== 'locked') throw error;
        if (!first && Date.now() + pauseMs > deadline) throw this.#stillLocked(error);
        log(`${error.message} - waiting`);
        await (first ? this.unlock(UNLOCK_LIMIT_MS) : this.#askHolder(error));
        if (!first) await sleep(pauseMs, undefined, { signal }).catch(() => {});
        signal.throwIfAborted();
      }
    }
  }

  /** Looks up snapshots: those named, or all of the VM. What is missing is missing in the answer. */
  snapshots(ids: readonly string[], vmId: VmId, dryRun: readonly Snapshot[]): Promise<Snapshot[]> {
    return this.run(restic.snapshots(this.access, { ids, tag: vmTag(vmId) }, dryRun));
  }

  /** The paths of a snapshot's files: those that were named when it was made, else what it holds. */
  async filesOf(snapshot: Snapshot): Promise<AbsolutePath[]> {
    const named = snapshot.paths.some((path) => /\/disk\.[^/]+$/.test(path));
    const paths = named
      ? snapshot.paths
      : (await this.run(restic.listFiles(this.access, snapshot.id))).map(({ path }) => path);
    return paths.map((path) => parseAbsolutePath(path, `a path of snapshot ${snapshot.id.slice(0, 8)}`, 'damaged'));
  }

  /** Whether the repository is there, by the files of the backup server. */
  async exists(server: Host): Promise<boolean> {
    const entries = await server.files.list(this.path, []).catch((error) => {
      if (error instanceof DriverError && error.kind === 'notFound') return [];
      throw error;
    });
    return entries.some(({ name }) => name === 'config');
  }

  /** Removes stale locks, even if the action was aborted. Best effort: what stays, the next action removes. */
  async unlock(limitMs: number): Promise<void> {
    await this.run(restic.unlock(this.access), { evenAbortedMs: limitMs }).catch((error) =>
      this.#patience.log(asDriverError(error).message),
    );
  }

  /**
   * Removes a snapshot of which nobody was told: the file that forget would remove, but without waiting for a lock.
   * `server` gives the files of the backup server.
   */
  async takeBack(server: Host, snapshot: string): Promise<void> {
    if (!/^[0-9a-f]{8,64}$/.test(snapshot))
      throw new DriverError('internal', `${snapshot} is not the id of a snapshot`);
    const folder = joinPath(this.path, 'snapshots');
    const names = (await server.files.list(folder, [])).map(({ name }) => name);
    for (const name of names.filter((one) => one.startsWith(snapshot)))
      await server.files.remove(joinPath(folder, name));
  }

  /** Whether any lock is in the repository, by the files of the backup server. */
  async hasLocks(server: Host): Promise<boolean> {
    return (await this.lockFiles(server)).some((name) => /^[0-9a-f]{64}$/.test(name));
  }

  /** The ids of all snapshots, by the files of the backup server. */
  async snapshotFiles(server: Host): Promise<string[]> {
    const names = (await server.files.list(joinPath(this.path, 'snapshots'), [])).map(({ name }) => name);
    return names.filter((name) => /^[0-9a-f]{64}$/.test(name));
  }

  /** The names of all that lies where locks do: half written ones, too. */
  async lockFiles(server: Host): Promise<string[]> {
    return (await server.files.list(joinPath(this.path, 'locks'), [])).map(({ name }) => name);
  }

  /** restic tells a dead holder only on the holder's own host: so a lock that stays is judged there, if that can be reached. */
  async #askHolder(locked: DriverError): Promise<void> {
    const holder = /by PID \d+ on (\S+) by/.exec(locked.message)?.[1];
    if (holder !== undefined) await this.unlockAt(holder);
  }

  /** Removes stale locks as the host of that name judges them. Best effort. */
  async unlockAt(holder: string): Promise<void> {
    const { hosts, log } = this.#patience;
    try {
      const host = await hosts.at(parseHostName(holder, 'the holder of the lock'));
      if (host !== this.host) await host.run(restic.unlock(this.#elsewhere), { evenAbortedMs: UNLOCK_LIMIT_MS });
    } catch (error) {
      log(`the holder of the lock was not asked: ${asDriverError(error).message}`);
    }
  }

  /** An error that could not say why the backup server does not answer, with what ssh says of it. */
  async #withReason(error: unknown): Promise<unknown> {
    const { sftp } = this.access;
    if (!(error instanceof DriverError) || !error.message.includes(NO_REASON) || sftp === undefined) return error;
    const reason = await this.host.run(askSsh(sftp)).catch(() => undefined);
    if (reason === undefined) return error;
    const what = error.message.slice(0, error.message.indexOf(NO_REASON));
    const hint = error.hint === undefined ? {} : { hint: error.hint };
    return new DriverError(error.kind, `${what}${reason}`, { host: this.host.name, ...hint, cause: error });
  }

  #stillLocked(error: DriverError): DriverError {
    return new DriverError('locked', `${error.message}; waited ${this.#patience.waitSeconds} s`, {
      hint: 'Wait for the holder to finish; once it is dead, run "restic unlock" on its host',
      cause: error,
    });
  }
}
