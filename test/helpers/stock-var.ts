import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';

/** Tests that run as root also look at owners. */
export const isRoot = process.getuid?.() === 0;
/** The number that OpenNebula gives its user. */
export const ONEADMIN = 9869;

/** The files of a front-end without our drivers, as `[path, mode]`: some that ours replace, and some that they do not. */
const STOCK: readonly [path: string, mode: number][] = [
  ['remotes/VERSION', 0o644],
  ['remotes/etc/datastore/datastore.conf', 0o640],
  ['remotes/datastore/downloader.sh', 0o755],
  ['remotes/datastore/restic_downloader.rb', 0o755],
  ['remotes/datastore/fs/cp', 0o755],
  ['remotes/datastore/restic/backup', 0o755],
  ['remotes/datastore/restic/monitor', 0o750],
  ['remotes/datastore/restic/rm', 0o4511],
  ['remotes/datastore/restic/restic', 0o755],
  ['remotes/datastore/restic/notes, with "blanks" [*]', 0o600],
  ['.one/one_auth', 0o600],
];

/** Makes a VAR as OpenNebula lays it out, with odd modes, old times, a symbolic link and the program restic. */
export function makeStockVar(varDir: string): void {
  for (const [path, mode] of STOCK) {
    const file = join(varDir, path);
    mkdirSync(dirname(file), { recursive: true });
    const text = path.endsWith('/restic')
      ? '\x7fELF not really, but not ours\n'
      : `#!/usr/bin/env ruby\n# ${path}\nexit 0\n`;
    writeFileSync(file, text);
    chmodSync(file, mode);
  }
  symlinkSync('../fs/cp', join(varDir, 'remotes/datastore/restic/cp'));
  chmodSync(join(varDir, 'remotes/datastore/restic'), 0o2751);
  const entries = readdirSync(varDir, { recursive: true, encoding: 'utf8' }).sort().reverse();
  entries.push('.');
  for (const entry of entries) {
    const path = join(varDir, entry);
    const { mode } = lstatSync(path);
    const owner = entry.endsWith('backup') ? 0 : ONEADMIN;
    if (isRoot) spawnSync('chown', ['--no-dereference', `${owner}:${owner}`, path]);
    if (isRoot && (mode & 0o170000) !== 0o120000) chmodSync(path, mode & 0o7777); // chown takes the setuid bit away
  }
  for (const [index, entry] of entries.entries()) {
    const time = `2019-03-0${1 + (index % 9)} 04:05:06.${String(index).padStart(3, '0')}456789`;
    spawnSync('touch', ['--no-dereference', `--date=${time}`, join(varDir, entry)]);
  }
}

/** Everything below a folder, a line each: type, mode, owner, time to the nanosecond, content. */
export function snapshotOf(folder: string, isOwnTimeOfInterest = true): string[] {
  const entries = ['.', ...readdirSync(folder, { recursive: true, encoding: 'utf8' }).sort()];
  return entries.map((entry) => {
    const path = join(folder, entry);
    const { mode, uid, gid, mtimeNs } = lstatSync(path, { bigint: true });
    const time = entry === '.' && !isOwnTimeOfInterest ? '' : mtimeNs;
    return `${entry} ${mode.toString(8)} ${uid}:${gid} ${time} ${contentOf(path)}`;
  });
}

/** The SHA-256 of a file, what a link says, nothing of a folder. */
export function contentOf(path: string): string {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  if (stat === undefined) return 'nothing';
  if (stat.isSymbolicLink()) return `-> ${readlinkSync(path)}`;
  return stat.isFile() ? createHash('sha256').update(readFileSync(path)).digest('hex') : '';
}
