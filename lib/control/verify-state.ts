import { mkdir, readFile, rm } from 'node:fs/promises';
import type { Damage } from '../engine/inventory';
import { DriverError } from '../errors';
import { type AbsolutePath, joinPath, parseAbsolutePath } from '../opennebula/ids';
import { writeWhole } from './part-file';

/** What a run checks: another question is another run. */
export interface RunQuestion {
  readonly datastore: number;
  readonly basePath: string;
  readonly vm: number | null;
  readonly share: number;
}

/** What was found so long ago says nothing of today, in milliseconds. */
const STALE_MS = 86_400_000;

/** How far a run is, kept in a file so that it can go on. */
export class VerifyState {
  readonly #file: AbsolutePath;
  readonly #question: RunQuestion;
  readonly #done: Map<string, readonly Damage[]>;
  readonly seed: number;
  /** It goes on with what an earlier run had done. */
  readonly resumed: boolean;

  private constructor(
    file: AbsolutePath,
    question: RunQuestion,
    seed: number,
    done: ReadonlyMap<string, readonly Damage[]>,
  ) {
    this.#file = file;
    this.#question = question;
    this.#done = new Map(done);
    this.seed = seed;
    this.resumed = done.size > 0;
  }

  /** Goes on with the run that the file tells of, if it asked the same a day ago at most, with the seed that is given, if any. */
  static async open(
    file: AbsolutePath,
    question: RunQuestion,
    { seed, restart }: { readonly seed: number | undefined; readonly restart: boolean },
  ): Promise<VerifyState> {
    const today = Math.floor(Date.now() / 86_400_000);
    const found = restart ? undefined : await readState(file);
    const isFresh = Date.now() - (found?.notedMs ?? 0) < STALE_MS;
    const isSame = found !== undefined && isFresh && JSON.stringify(found.question) === JSON.stringify(question);
    if (!isSame || (seed !== undefined && seed !== found.seed))
      return new VerifyState(file, question, seed ?? today, new Map());
    return new VerifyState(file, question, found.seed, new Map(Object.entries(found.done)));
  }

  /** What an item that is done has found; undefined for one that is to be done. */
  found(id: string): readonly Damage[] | undefined {
    return this.#done.get(id);
  }

  /** Notes an item as done. */
  async note(id: string, damages: readonly Damage[]): Promise<void> {
    this.#done.set(id, damages);
    const at = this.#file.lastIndexOf('/');
    const folder = parseAbsolutePath(this.#file.slice(0, at) || '/', 'the state file');
    const state: State = {
      ...{ version: 2, notedMs: Date.now(), question: this.#question, seed: this.seed },
      done: Object.fromEntries(this.#done),
    };
    try {
      await mkdir(folder, { recursive: true, mode: 0o700 });
      await writeWhole(folder, this.#file.slice(at + 1), `${JSON.stringify(state)}\n`);
    } catch (cause) {
      throw new DriverError('failed', `${this.#file} cannot be written: ${(cause as Error).message}`, {
        hint: 'Name another one with --state FILE',
        cause,
      });
    }
  }

  /** The run is over: the next one begins anew. */
  async end(): Promise<void> {
    await rm(this.#file, { force: true });
  }
}

/** Where the state of a datastore's runs is kept, by the convention of the XDG base directories. */
export function stateFile(env: NodeJS.ProcessEnv, home: AbsolutePath | undefined, datastore: number): AbsolutePath {
  const given = env.XDG_STATE_HOME;
  const base = given?.startsWith('/') ? parseAbsolutePath(given, 'XDG_STATE_HOME', 'config') : undefined;
  if (base === undefined && home === undefined)
    throw new DriverError('config', 'neither XDG_STATE_HOME nor HOME says where to keep the state', {
      hint: 'Name a file with --state FILE',
    });
  const folder = base ?? joinPath(home as AbsolutePath, '.local', 'state');
  return joinPath(folder, 'opennebula-backup', `verify-${datastore}.json`);
}

interface State {
  readonly version: 2;
  /** When the last item was done. */
  readonly notedMs: number;
  readonly question: RunQuestion;
  readonly seed: number;
  readonly done: Record<string, readonly Damage[]>;
}

async function readState(file: AbsolutePath): Promise<State | undefined> {
  try {
    const found = JSON.parse(await readFile(file, 'utf8')) as Partial<State>;
    const { version, question, seed, done, notedMs } = found;
    const isWhole = question !== undefined && done !== undefined && notedMs !== undefined;
    if (version !== 2 || !isWhole || seed === undefined || !Number.isSafeInteger(seed)) return undefined;
    return { version, notedMs, question, seed, done };
  } catch {
    return undefined; // none, or one that nobody can read: begun anew
  }
}
