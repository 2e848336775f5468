import { readFile } from 'node:fs/promises';
import { type AbsolutePath, joinPath } from '../opennebula/ids';
import { sha256Of, writeWhole } from './part-file';

/** Beside the restored files: what each is, so that the same command need not fetch it twice. */
const RECORD_FILE = 'restore.json';

/** A file that was restored and verified. */
export interface RestoredFile {
  readonly name: string;
  /** What it is of: datastore, VM, chain and disk; the same for the same bytes. */
  readonly of: string;
  readonly sizeBytes: number;
  readonly sha256: string;
  /** What it was compared with. */
  readonly verified: readonly string[];
}

/** What the files in a folder are. */
export class RestoreRecord {
  readonly #folder: AbsolutePath;
  readonly #files: Map<string, RestoredFile>;

  private constructor(folder: AbsolutePath, files: readonly RestoredFile[]) {
    this.#folder = folder;
    this.#files = new Map(files.map((file) => [file.name, file]));
  }

  /** Reads it; one that is not there, or is no record, is empty. */
  static async read(folder: AbsolutePath): Promise<RestoreRecord> {
    try {
      const found = JSON.parse(await readFile(joinPath(folder, RECORD_FILE), 'utf8')) as { files?: unknown };
      const isFile = (one: Partial<RestoredFile> | null): boolean =>
        [one?.name, one?.of, one?.sha256].every((text) => typeof text === 'string') && Array.isArray(one?.verified);
      return new RestoreRecord(folder, Array.isArray(found.files) ? found.files.filter(isFile) : []);
    } catch {
      return new RestoreRecord(folder, []);
    }
  }

  /** The file of that name, if it is there and, byte for byte, what was restored and verified as `of`. */
  async verified(name: string, of: string, signal: AbortSignal): Promise<RestoredFile | undefined> {
    const noted = this.#files.get(name);
    if (noted?.of !== of) return undefined;
    return (await sha256Of(joinPath(this.#folder, name), signal)) === noted.sha256 ? noted : undefined;
  }

  /** Notes a file, before it gets its name: when this is killed in between, it is only fetched again. */
  async note(file: RestoredFile): Promise<void> {
    this.#files.set(file.name, file);
    const text = `${JSON.stringify({ version: 1, files: [...this.#files.values()] }, null, 2)}\n`;
    await writeWhole(this.#folder, RECORD_FILE, text);
  }
}
