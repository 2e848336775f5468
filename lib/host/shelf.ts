import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { type Command, nothing } from '../command/command';
import { type AbsolutePath, joinPath } from '../opennebula/ids';
import type { Host } from './host';

const PREFIX = 'one-backup-shelf-';
/** How long a file may lie on the shelf, in seconds: the second evaluation of a download command follows at once. */
const KEEP_SECONDS = 900;

/**
 * Moves what is kept to $2 and says so. The folder may be open to all users: what another one put there under our name
 * is not ours. What a keeper that was killed left behind goes.
 */
const TAKE = `
find "$3" -maxdepth 1 -type f -user "$(id -u)" -name '${PREFIX}*' -cmin +${(2 * KEEP_SECONDS) / 60} -delete 2>/dev/null
[ -n "$(find "$1" -maxdepth 0 -type f -user "$(id -u)" ! -perm /077 2>/dev/null)" ] && mv -T -- "$1" "$2" && echo taken
exit 0`;

/** Removes the file when it is taken, when the process group that needs it has ended, or when its time is over. */
const KEEP = `
n=0
while [ -e "$1" ] && [ $n -lt ${KEEP_SECONDS} ] && { [ -z "$2" ] || kill -s 0 -- "-$2" 2>/dev/null; }; do sleep 1; n=$((n + 1)); done
rm -f -- "$1"`;

const PUT = `chmod 600 -- "$1" && mv -T -- "$1" "$2" || exit 1
setsid sh -c "$4" one-backup-shelf "$2" "$3" </dev/null >/dev/null 2>&1 &`;

/**
 * A place for a file between two processes of one download: the front-end's downloader evaluates its command twice
 * (contract, "Backup URLs"), and what the first evaluation has merged, the second need not merge again.
 */
export class Shelf {
  readonly #host: Host;
  readonly #isHere: boolean;
  readonly #folder: AbsolutePath;
  readonly #file: AbsolutePath;

  /** `key` says what is kept; equal keys stand for equal content. `isHere`: the host is the one that this action runs on. */
  constructor(host: Host, isHere: boolean, folder: AbsolutePath, key: string) {
    this.#host = host;
    this.#isHere = isHere;
    this.#folder = folder;
    this.#file = joinPath(folder, `${PREFIX}${createHash('sha256').update(key).digest('hex').slice(0, 40)}`);
  }

  /** Moves what is kept to `target`, on the same filesystem, and tells whether there was anything. */
  async take(target: AbsolutePath): Promise<boolean> {
    return this.#host.run({
      ...script(TAKE, [this.#file, target, this.#folder], 'take what an earlier evaluation has merged'),
      parse: ({ stdout }) => stdout.trim() === 'taken',
      dryRun: false,
    });
  }

  /** Keeps a file, which must be on the same filesystem. */
  async put(source: AbsolutePath): Promise<void> {
    const own = this.#isHere ? await readFile('/proc/self/stat', 'utf8') : '';
    const group = own.split(') ')[1]?.split(' ')[2] ?? ''; // proc(5): pgrp
    await this.#host.run(script(PUT, [source, this.#file, group, KEEP.trim()], 'keep the merged disk for a moment'));
  }

  /** Removes what is kept, if anything. What somebody else has put there is not ours, and stays. */
  async clear(): Promise<void> {
    await this.#host.run(
      script('rm -f -- "$1" || [ ! -O "$1" ]', [this.#file], 'remove the merged disk that was kept'),
    );
  }
}

function script(text: string, args: readonly string[], purpose: string): Command<undefined> {
  const argv = ['sh', '-c', text.trim(), 'one-backup-shelf', ...args] as const;
  return { argv: [...argv] as [string, ...string[]], purpose, parse: nothing, dryRun: undefined };
}
