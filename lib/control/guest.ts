import * as guestfish from '../command/guestfish';
import { DriverError } from '../errors';
import type { Host, RunOptions } from '../host/host';
import type { Screen } from './screen';

/** Something in a guest's filesystem. */
export interface GuestEntry {
  readonly name: string;
  /** `?`: it cannot be looked at, as a name that is not UTF-8. */
  readonly type: 'file' | 'folder' | 'link' | 'device' | 'pipe' | 'socket' | '?';
  readonly sizeBytes: number;
  /** The permissions, as chmod(1) takes them. */
  readonly mode: number;
  /** Seconds since 1970. */
  readonly modifiedAt: number;
}

/** The types of inode(7), by the highest four bits of the mode. */
const TYPES: Readonly<Record<number, GuestEntry['type']>> = {
  1: 'pipe',
  2: 'device',
  4: 'folder',
  6: 'device',
  8: 'file',
  10: 'link',
  12: 'socket',
};

/** Names go by the command line, which has its limits. */
const NAMES_BYTES = 24 * 1024;
const NAMES = 1000;

/** Types of filesystems, as guestfish names them, that hold no files. */
const NO_FILES = ['swap', 'unknown', ''];

/** The filesystems of a disk in a backup, opened read-only. */
export class Guest {
  readonly #host: Host;
  readonly #fish: guestfish.Guestfish;
  #shown = '';

  constructor(host: Host, fish: guestfish.Guestfish) {
    this.#host = host;
    this.#fish = fish;
  }

  /** What of the disk is seen, for people. */
  get shown(): string {
    return this.#shown;
  }

  /** Starts the machine that reads the disk. Throws `failed`. */
  async launch(): Promise<void> {
    await this.#run(guestfish.launch(this.#fish));
  }

  /** Mounts the filesystems of the operating system, else the one that is named, or the only one. Throws `notFound`. */
  async mount(wanted: string | undefined, screen: Screen): Promise<void> {
    const roots = wanted === undefined ? await this.#run(guestfish.operatingSystems(this.#fish)) : [];
    const [root] = roots;
    if (root === undefined) return this.#mountOne(wanted);
    if (roots.length > 1) screen.note(`${roots.length} operating systems, at ${roots.join(', ')}: shown is the first`);
    const found = [...(await this.#run(guestfish.mountpoints(this.#fish, root)))];
    const places = found.filter(([place, device]) => place.startsWith('/') && isDevice(device));
    for (const [place, device] of places.sort(([a], [b]) => a.length - b.length)) {
      await this.#run(guestfish.mount(this.#fish, device, place, place !== '/'));
    }
    const mounted = await this.#run(guestfish.mounted(this.#fish));
    const missing = places.filter(([, device]) => !mounted.has(device)).map(([place]) => place);
    if (missing.length > 0) screen.warn(`not shown, for it cannot be mounted: ${missing.join(', ')}`);
    this.#shown = `the operating system at ${root}`;
  }

  /** What a path names, following links. Throws `notFound`. */
  async find(path: string): Promise<{ readonly realPath: string; readonly entry: GuestEntry }> {
    const realPath = await this.#run(guestfish.realPath(this.#fish, path));
    const stat = await this.#run(guestfish.stat(this.#fish, realPath));
    return { realPath, entry: toEntry(path.slice(path.lastIndexOf('/') + 1), stat) };
  }

  /** What is in a folder, by name; `path` must have no links in it. */
  async list(path: string): Promise<GuestEntry[]> {
    const names = (await this.#run(guestfish.names(this.#fish, path))).sort();
    const found: GuestEntry[] = [];
    while (found.length < names.length) {
      const some = firstOf(names.slice(found.length, found.length + NAMES));
      const stats = await this.#run(guestfish.stats(this.#fish, path, some));
      if (stats.length !== some.length) throw new DriverError('failed', 'guestfish does not answer as it should');
      found.push(...some.map((name, index) => toEntry(name, stats[index])));
    }
    return found;
  }

  /** Writes a file to an output; `path` must have no links in it. */
  async download(path: string, options: RunOptions): Promise<void> {
    if (/^\/dev(\/|$)/.test(path)) throw new DriverError('unsupported', `${path} is a place for devices`);
    await this.#run(guestfish.download(this.#fish, path), options);
  }

  /** Writes a folder as an archive of tar to an output; `path` must have no links in it. */
  async archive(path: string, options: RunOptions): Promise<void> {
    await this.#run(guestfish.archive(this.#fish, path), options);
  }

  async #mountOne(wanted: string | undefined): Promise<void> {
    const all = await this.#run(guestfish.filesystems(this.#fish));
    const usable = [...all].filter(([name, type]) => isDevice(name) && !NO_FILES.includes(type));
    const found = usable.filter(([name]) => wanted === undefined || name === wanted);
    const [one] = found;
    const names = usable.map(([name, type]) => `${name} (${type})`).join(', ');
    if (one === undefined) {
      const what = wanted === undefined ? 'a filesystem that can be read' : JSON.stringify(wanted);
      throw new DriverError('notFound', `the disk holds no ${what.replace(/^a /, '')}`, {
        hint: names === '' ? 'It may be encrypted, or part of a volume of several disks' : `It has: ${names}`,
      });
    }
    if (found.length > 1) {
      throw new DriverError('notFound', `no operating system is on the disk, and ${found.length} filesystems`, {
        hint: `Choose one with --filesystem: ${names}`,
      });
    }
    await this.#run(guestfish.mount(this.#fish, one[0], '/', false));
    this.#shown = `the filesystem ${one[0]} (${one[1]})`;
  }

  #run: Host['run'] = (command, options) => this.#host.run(command, options);
}

/** Device or volume, as guestfish names it: never an option, however the disk was made. */
function isDevice(name: string): boolean {
  return /^(\/dev\/|btrfsvol:\/dev\/)/.test(name);
}

/** As many names as one command takes. */
function firstOf(names: readonly string[]): string[] {
  let bytes = 0;
  const end = names.findIndex((name, index) => {
    bytes += Buffer.byteLength(name) + 4;
    return index > 0 && bytes > NAMES_BYTES;
  });
  return names.slice(0, end === -1 ? undefined : end);
}

function toEntry(name: string, stat: guestfish.GuestStat | undefined): GuestEntry {
  if (stat === undefined) return { name, type: '?', sizeBytes: 0, mode: 0, modifiedAt: 0 };
  const { mode, sizeBytes, modifiedAt } = stat;
  return { name, type: TYPES[mode >> 12] ?? '?', sizeBytes, mode: mode & 0o7777, modifiedAt };
}
