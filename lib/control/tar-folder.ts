import { type FileHandle, link, mkdir, open, symlink, utimes } from 'node:fs/promises';
import { Writable } from 'node:stream';
import { BLOCK_BYTES, parseTarHeader, type TarEntry, untilNul, withPax } from '../command/tar-header';
import { DriverError } from '../errors';
import type { AbsolutePath } from '../opennebula/ids';
import { cannotWrite, writeSparsely } from './part-file';

/** What an entry says of the next one is kept in memory: no name is longer. */
const LONGEST_NAME = 1024 * 1024;

/**
 * Unpacks an archive into a folder that must be new. What it holds comes from a guest and may be hostile: a thing is only
 * made in a folder that was made here as well, and nothing that exists is opened; so no name and no link leads out of it.
 * Owners, set-id bits and devices of the guest mean nothing here: all belongs to who runs this, and devices are left out.
 */
export class TarFolder {
  readonly #root: AbsolutePath;
  readonly #made = new Map<string, 'folder' | 'file'>();
  readonly #times: { readonly path: Buffer; readonly modifiedAt: number }[] = [];
  #header = Buffer.alloc(0);
  #before: { name?: string; target?: string; pax?: Buffer } = {};
  #body: Body | undefined;
  #padding = 0;
  #isOver = false;
  #bytes = 0;
  #skipped = 0;

  constructor(root: AbsolutePath) {
    this.#root = root;
  }

  /** How many bytes of files were written. */
  get bytes(): number {
    return this.#bytes;
  }

  /** How many devices, sockets and the like were left out. */
  get skipped(): number {
    return this.#skipped;
  }

  /** Makes the folder and lets `fill` write the archive. Throws `noSpace`, `damaged` or `failed`. */
  async fill(fill: (output: Writable) => Promise<void>): Promise<void> {
    let failure: DriverError | undefined;
    const output = new Writable({
      write: (chunk: Buffer, _, done) => {
        this.#take(chunk).then(done, (error) => {
          failure = asFailure(this.#root, error);
          done(failure);
        });
      },
    });
    output.on('error', () => {}); // told by `failure`
    try {
      await mkdir(this.#root, { mode: 0o700 });
      this.#made.set('', 'folder');
      await fill(output);
      await new Promise<void>((resolve) => output.end(resolve));
      if (failure !== undefined) throw failure;
      if (!this.#isOver) throw new DriverError('failed', 'the archive of a folder ended too early');
      for (const { path, modifiedAt } of this.#times.reverse()) await utimes(path, modifiedAt, modifiedAt);
    } catch (error) {
      throw failure ?? asFailure(this.#root, error);
    } finally {
      output.destroy();
      await this.#body?.handle?.close();
    }
  }

  async #take(chunk: Buffer): Promise<undefined> {
    for (let rest = chunk; rest.length > 0 && !this.#isOver; ) {
      const body = this.#body;
      const wanted = body?.left ?? (this.#padding || BLOCK_BYTES - this.#header.length);
      const part = rest.subarray(0, wanted);
      rest = rest.subarray(part.length);
      if (body !== undefined) await this.#continue(body, part);
      else if (this.#padding > 0) this.#padding -= part.length;
      else {
        this.#header = Buffer.concat([this.#header, part]);
        if (this.#header.length === BLOCK_BYTES) await this.#begin(this.#header);
      }
    }
  }

  async #begin(block: Buffer): Promise<void> {
    this.#header = Buffer.alloc(0);
    const plain = parseTarHeader(block);
    if (plain === undefined) {
      this.#isOver = true;
      return;
    }
    const isAbout = ['longName', 'longTarget', 'pax'].includes(plain.type);
    const { name = plain.name, target = plain.target, pax } = isAbout ? {} : this.#before;
    const entry = withPax({ ...plain, name, target }, pax ?? Buffer.alloc(0));
    if (!isAbout) this.#before = {};
    if (isAbout && entry.sizeBytes > LONGEST_NAME)
      throw new DriverError('damaged', 'the archive of a folder has a name that is too long');
    const handle = isAbout ? undefined : await this.#make(entry);
    const left = entry.type === 'file' || isAbout ? entry.sizeBytes : 0;
    this.#body = { entry, handle, left, kept: [] };
    this.#padding = (BLOCK_BYTES - (left % BLOCK_BYTES)) % BLOCK_BYTES;
    if (left === 0) await this.#end(this.#body);
  }

  async #continue(body: Body, part: Buffer): Promise<void> {
    const { handle, entry } = body;
    if (handle !== undefined) await writeSparsely(handle, part, entry.sizeBytes - body.left);
    else body.kept.push(part);
    body.left -= part.length;
    if (body.left === 0) await this.#end(body);
  }

  async #end({ entry, handle, kept }: Body): Promise<void> {
    const { type, sizeBytes, modifiedAt } = entry;
    const said = Buffer.concat(kept);
    if (type === 'longName') this.#before.name = untilNul(said.toString('latin1'));
    if (type === 'longTarget') this.#before.target = untilNul(said.toString('latin1'));
    if (type === 'pax') this.#before.pax = said;
    if (handle !== undefined) {
      await handle.truncate(sizeBytes);
      await handle.utimes(modifiedAt, modifiedAt);
      await handle.close();
      this.#bytes += sizeBytes;
    }
    this.#body = undefined;
  }

  /** Makes what the entry is, and opens it if it is a file. */
  async #make({ name, target, type, mode, modifiedAt }: TarEntry): Promise<FileHandle | undefined> {
    const path = plainPath(name);
    const place = this.#place(path);
    const parent = path.slice(0, Math.max(0, path.lastIndexOf('/')));
    if (path !== '' && this.#made.get(parent) !== 'folder')
      throw new DriverError('damaged', `the archive of a folder holds ${JSON.stringify(path)} before its folder`);
    if (type === 'folder') {
      if (path !== '') await mkdir(place, { mode: (mode & 0o777) | 0o700 });
      this.#made.set(path, 'folder');
      this.#times.push({ path: place, modifiedAt });
    } else if (type === 'link') await symlink(Buffer.from(target, 'latin1'), place);
    else if (type === 'hardlink' && this.#made.get(plainPath(target)) === 'file') {
      await link(this.#place(plainPath(target)), place);
      this.#made.set(path, 'file');
    } else if (type === 'file') {
      this.#made.set(path, 'file');
      return open(place, 'wx', mode & 0o777);
    } else this.#skipped += 1;
    return undefined;
  }

  /** Bytes: a name in a guest need not be UTF-8. */
  #place(path: string): Buffer {
    return Buffer.concat([Buffer.from(path === '' ? this.#root : `${this.#root}/`), Buffer.from(path, 'latin1')]);
  }
}

function asFailure(root: AbsolutePath, error: unknown): DriverError {
  return error instanceof DriverError ? error : cannotWrite(root, error as NodeJS.ErrnoException);
}

/** The data of an entry that is being read. */
interface Body {
  readonly entry: TarEntry;
  readonly handle: FileHandle | undefined;
  left: number;
  readonly kept: Buffer[];
}

/** Without `.` and doubled slashes. Throws `damaged` for `..`. */
function plainPath(name: string): string {
  const parts = name.split('/').filter((part) => part !== '' && part !== '.');
  if (parts.includes('..')) throw new DriverError('damaged', `the archive of a folder holds ${JSON.stringify(name)}`);
  return parts.join('/');
}
