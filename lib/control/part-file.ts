import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { type FileHandle, lstat, mkdir, open, readdir, readFile, rename, rm } from 'node:fs/promises';
import { hostname } from 'node:os';
import { Writable } from 'node:stream';
import { finished } from 'node:stream/promises';
import { DriverError } from '../errors';
import { type AbsolutePath, joinPath, parseAbsolutePath } from '../opennebula/ids';

/** A part that is all zeros becomes a hole, if it is at least a block of the filesystem. */
const HOLE_BYTES = 4096;
const PART = /^\.one-backup-([0-9]+)@([^:]+):.*\.part$/s;
/** So much of a file's own name fits beside the rest into the 255 bytes of a name. */
const NAME_CHARACTERS = 40;

/** The name of a file that is not complete yet; its process tells whether somebody still works on it. */
export function partName(name: string): string {
  return `.one-backup-${process.pid}@${hostname()}:${name.slice(0, NAME_CHARACTERS)}.part`;
}

/** Makes a folder for what is restored, unless it is there; says what it removed of killed runs. Throws `failed`. */
export async function prepareFolder(folder: AbsolutePath): Promise<string[]> {
  try {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    return await removeDeadParts(folder);
  } catch (cause) {
    throw new DriverError('failed', `${folder} cannot be used: ${(cause as Error).message}`, { cause });
  }
}

/** Removes what killed runs of this program left in a folder. */
export async function removeDeadParts(folder: AbsolutePath): Promise<string[]> {
  const removed: string[] = [];
  for (const name of await readdir(folder)) {
    const [, pid, host] = PART.exec(name) ?? [];
    if (pid === undefined || host !== hostname() || (Number(pid) !== process.pid && (await isOurs(pid)))) continue;
    await rm(joinPath(folder, name), { recursive: true, force: true });
    removed.push(name);
  }
  return removed;
}

/** Whether that process runs and is one of this program: numbers are used again. */
async function isOurs(pid: string): Promise<boolean> {
  const line = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
  return line.includes('backupctl');
}

/** A file that is written beside its place, with the checksum of what goes through. */
export class PartFile {
  readonly path: AbsolutePath;
  readonly #hash = createHash('sha256');
  #bytes = 0;

  constructor(folder: AbsolutePath, name: string) {
    this.path = joinPath(folder, partName(name));
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Lets `fill` write it, and has the disk take all of it. Throws `noSpace` or `failed` when the file cannot be written. */
  async fill(fill: (output: Writable) => Promise<void>, onBytes: (bytes: number) => void): Promise<void> {
    await rm(this.path, { force: true });
    const handle = await open(this.path, 'wx', 0o600).catch((error) => {
      throw cannotWrite(this.path, error);
    });
    let failure: DriverError | undefined;
    const output = new Writable({
      highWaterMark: 1024 * 1024,
      write: (chunk: Buffer, _, done) => {
        this.#write(handle, chunk).then(
          () => {
            onBytes(this.#bytes);
            done();
          },
          (error) => {
            failure = cannotWrite(this.path, error);
            done(failure);
          },
        );
      },
    });
    output.on('error', () => {}); // told by `failure`
    try {
      await fill(output);
      output.end();
      await finished(output);
      await handle.truncate(this.#bytes);
      await handle.sync();
    } catch (error) {
      throw failure ?? error;
    } finally {
      output.destroy();
      await handle.close();
    }
  }

  /** The checksum of all that was written. */
  sha256(): string {
    return this.#hash.copy().digest('hex');
  }

  async remove(): Promise<void> {
    await rm(this.path, { force: true });
  }

  async #write(handle: FileHandle, chunk: Buffer): Promise<void> {
    this.#hash.update(chunk);
    this.#bytes += chunk.length;
    await writeSparsely(handle, chunk, this.#bytes - chunk.length);
  }
}

/** Writes a piece of a new file, unless it is all zeros: a hole shows the same. The file gets its size at its end. */
export async function writeSparsely(handle: FileHandle, chunk: Buffer, at: number): Promise<void> {
  if (chunk.length >= HOLE_BYTES && isZero(chunk)) return;
  for (let done = 0; done < chunk.length; )
    done += (await handle.write(chunk, done, chunk.length - done, at + done)).bytesWritten;
}

/** Gives a complete file its name, and has the disk remember it. */
export async function putInPlace(part: AbsolutePath, path: AbsolutePath): Promise<void> {
  const file = await open(part, 'r');
  await file.sync().finally(() => file.close());
  await rename(part, path);
  await syncFolderOf(path);
}

/** Removes a file, and has the disk remember it before anything else is put in place. Throws `failed`. */
export async function removeInPlace(path: AbsolutePath): Promise<void> {
  try {
    await rm(path);
    await syncFolderOf(path);
  } catch (cause) {
    const why = (cause as Error).message;
    throw new DriverError('failed', `${path} cannot be removed: ${why}`, { hint: 'Choose another folder', cause });
  }
}

async function syncFolderOf(path: AbsolutePath): Promise<void> {
  const folder = await open(parseAbsolutePath(path.slice(0, path.lastIndexOf('/')) || '/', 'a folder'), 'r');
  await folder.sync().finally(() => folder.close());
}

/**
 * The same where something has the name already: that goes when the new one has it. A folder can neither be renamed over nor
 * replace a file so, and is set aside meanwhile, by a name that no later run removes.
 */
export async function replaceBy(part: AbsolutePath, folder: AbsolutePath, name: string): Promise<void> {
  const target = joinPath(folder, name);
  const [old, own] = await Promise.all([lstat(target).catch(() => undefined), lstat(part)]);
  if (old === undefined || !(old.isDirectory() || own.isDirectory())) return putInPlace(part, target);
  const aside = joinPath(folder, `${partName(name)}.replaced`);
  await rename(target, aside);
  await putInPlace(part, target).catch(async (error) => {
    await rename(aside, target);
    throw error;
  });
  await rm(aside, { recursive: true, force: true });
}

/** Writes a small file as a whole. Throws `noSpace` or `failed`. */
export async function writeWhole(folder: AbsolutePath, name: string, content: Buffer | string): Promise<void> {
  const part = new PartFile(folder, name);
  await part.fill(
    async (output) => void output.write(Buffer.from(content)),
    () => {},
  );
  await putInPlace(part.path, joinPath(folder, name));
}

/** The checksum of a file; undefined when it is not there. */
export async function sha256Of(path: AbsolutePath, signal: AbortSignal): Promise<string | undefined> {
  const hash = createHash('sha256');
  try {
    for await (const chunk of createReadStream(path, { highWaterMark: 1024 * 1024, signal })) hash.update(chunk);
    return hash.digest('hex');
  } catch (error) {
    signal.throwIfAborted();
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw new DriverError('failed', `${path} cannot be read: ${(error as Error).message}`, { cause: error });
  }
}

function isZero(chunk: Buffer): boolean {
  return chunk[0] === 0 && chunk.compare(chunk, 1, chunk.length, 0, chunk.length - 1) === 0;
}

/** The error for a file here that does not take what is written. */
export function cannotWrite(path: string, error: NodeJS.ErrnoException): DriverError {
  if (error.code === 'ENOSPC' || error.code === 'EDQUOT')
    return new DriverError('noSpace', `no space is left for ${path}`, {
      hint: 'Free some space and run it again',
      cause: error,
    });
  return new DriverError('failed', `${path} cannot be written: ${error.message}`, { cause: error });
}
