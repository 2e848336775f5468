import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  chownSync,
  closeSync,
  copyFileSync,
  existsSync,
  fsyncSync,
  lstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  statSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { InstallFailure } from './install-failure';

/** What was found at a path: all that has to be there again later. */
export interface Found {
  readonly kind: 'file' | 'link';
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Nanoseconds, in digits. */
  readonly mtimeNs: string;
  /** The SHA-256 of a file, or what a symbolic link says. */
  readonly content: string;
}

/** Whom the files belong to. */
export interface Owner {
  readonly uid: number;
  readonly gid: number;
}

/** Returns what is at the path; undefined when nothing is. Throws `refused` for what is neither a file nor a link. */
export function findAt(path: string): Found | undefined {
  const stat = lstatSync(path, { bigint: true, throwIfNoEntry: false });
  if (stat === undefined) return undefined;
  if (!stat.isFile() && !stat.isSymbolicLink()) {
    throw new InstallFailure(
      'refused',
      `${path} is in the way: it is not a file. Move it elsewhere and run this again.`,
    );
  }
  return {
    kind: stat.isFile() ? 'file' : 'link',
    mode: Number(stat.mode) & 0o7777,
    uid: Number(stat.uid),
    gid: Number(stat.gid),
    mtimeNs: String(stat.mtimeNs),
    content: stat.isFile() ? sha256Of(path) : readlinkSync(path),
  };
}

/** Tells whether two findings are the same in everything. */
export function isSame(a: Found | undefined, b: Found | undefined): boolean {
  const text = (found: Found | undefined): unknown[] =>
    found === undefined ? [] : [found.kind, found.mode, found.uid, found.gid, found.mtimeNs, found.content];
  return text(a).join('\n') === text(b).join('\n');
}

/** Returns the SHA-256 of a file in hexadecimal digits. */
export function sha256Of(path: string): string {
  return createHash('sha256').update(readFileSync(path)).digest('hex');
}

/** Puts a copy of the file at the target: whoever looks there finds the old one or the whole new one. */
export function putFile(source: string, target: string, mode: number, owner: Owner | undefined): void {
  replace(target, (part) => {
    copyFileSync(source, part);
    chmodSync(part, mode);
    if (owner !== undefined) chownSync(part, owner.uid, owner.gid);
  });
}

/** Puts a copy of a file or link at the target, with everything that it has: mode, owner, time, attributes. */
export function putWhole(source: string, target: string): void {
  replace(target, (part) => run('cp', '--archive', '--no-target-directory', '--', source, part));
}

/** Removes what is at the target, if anything is, and what an interrupted replacement left beside it. */
export function removeFile(target: string): void {
  removePart(target);
  rmSync(target, { force: true });
}

/** Removes what an interrupted replacement left beside the target. */
export function removePart(target: string): void {
  rmSync(partOf(target), { force: true });
}

/** The name beside the target under which its successor is made. One that is fixed is found again after a crash. */
function partOf(target: string): string {
  return join(dirname(target), `.${basename(target)}.one-backup-drivers`);
}

function replace(target: string, make: (part: string) => void): void {
  const part = partOf(target);
  rmSync(part, { force: true });
  make(part);
  if (lstatSync(part).isFile()) syncToDisk(part);
  renameSync(part, target);
}

/** Makes the folders of a path that are missing below `root`, which is there. */
export function makeFolders(root: string, path: string, owner: Owner | undefined): void {
  let folder = root;
  for (const name of path.split('/')) {
    folder = join(folder, name);
    if (existsSync(folder)) continue;
    mkdirSync(folder);
    ownFolder(folder, owner);
  }
}

/** Gives a folder that we made its rights, whatever the umask is, and its owner. */
export function ownFolder(folder: string, owner: Owner | undefined): void {
  chmodSync(folder, 0o755);
  if (owner !== undefined) chownSync(folder, owner.uid, owner.gid);
}

/** Returns when the entries of a folder last changed, in nanoseconds. */
export function mtimeOf(folder: string): string {
  return String(statSync(folder, { bigint: true }).mtimeNs);
}

/** Gives a folder the time that it had. touch(1) does it to the nanosecond, which Node's numbers cannot hold. */
export function setMtime(folder: string, mtimeNs: string): void {
  const digits = mtimeNs.padStart(10, '0');
  run('touch', '--no-create', '-m', `--date=@${digits.slice(0, -9)}.${digits.slice(-9)}`, '--', folder);
}

/** Waits until a file, or the names in a folder, are on the disk. */
export function syncToDisk(path: string): void {
  const fd = openSync(path, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

function run(program: string, ...args: readonly string[]): void {
  const { error, status, stderr } = spawnSync(program, args, {
    encoding: 'utf8',
    env: { ...process.env, LC_ALL: 'C' },
  });
  if (status !== 0) throw new Error(`${program} failed: ${(error?.message ?? stderr).trim()}`);
}
