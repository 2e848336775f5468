import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { lstat, readdir, readFile, rename, rm } from 'node:fs/promises';
import { type AbsolutePath, joinPath } from '../opennebula/ids';

const PREFIX = 'one-backup-shelf-';
/** How long a file may lie on the shelf, in seconds: the second evaluation of a download command follows at once. */
const KEEP_SECONDS = 900;

/** Removes the file when it is taken, when the process group that needs it has ended, or when its time is over. */
const KEEP = `
n=0
while [ -e "$1" ] && [ $n -lt "$3" ] && kill -s 0 -- "-$2" 2>/dev/null; do sleep 1; n=$((n + 1)); done
rm -f -- "$1"`;

/**
 * A place for a file between two processes of one download: the front-end's downloader evaluates its command twice
 * (contract, "Backup URLs"), and what the first evaluation has merged, the second need not merge again.
 */
export class Shelf {
  readonly #folder: AbsolutePath;
  readonly #file: AbsolutePath;

  /** `key` says what is kept; equal keys stand for equal content. */
  constructor(folder: AbsolutePath, key: string) {
    this.#folder = folder;
    this.#file = joinPath(folder, `${PREFIX}${createHash('sha256').update(key).digest('hex').slice(0, 40)}`);
  }

  /** Moves what is kept to `target`, on the same filesystem, and tells whether there was anything. */
  async take(target: AbsolutePath): Promise<boolean> {
    await this.#removeOld();
    try {
      // The folder may be open to all users: what another one put there under our name is not ours.
      const found = await lstat(this.#file);
      if (!found.isFile() || found.uid !== process.getuid?.() || (found.mode & 0o077) !== 0) return false;
      await rename(this.#file, target);
      return true;
    } catch {
      return false;
    }
  }

  /** Keeps a file, which must be on the same filesystem and readable by its owner only. */
  async put(source: AbsolutePath): Promise<void> {
    await rename(source, this.#file);
    const group = (await readFile('/proc/self/stat', 'utf8')).split(') ')[1]?.split(' ')[2] ?? '0'; // proc(5): pgrp
    spawn('sh', ['-c', KEEP.trim(), 'one-backup-shelf', this.#file, group, String(KEEP_SECONDS)], {
      detached: true,
      stdio: 'ignore',
    }).unref();
  }

  /** Removes what is kept, if anything. */
  async clear(): Promise<void> {
    await rm(this.#file, { force: true });
  }

  /** What a keeper that was killed left behind. */
  async #removeOld(): Promise<void> {
    const names = await readdir(this.#folder).catch(() => []);
    for (const name of names.filter((one) => one.startsWith(PREFIX))) {
      const path = joinPath(this.#folder, name);
      const found = await lstat(path).catch(() => undefined);
      const old = found !== undefined && Date.now() - found.ctimeMs > 2 * KEEP_SECONDS * 1000;
      if (old && found.uid === process.getuid?.()) await rm(path, { force: true });
    }
  }
}
