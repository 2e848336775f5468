import { accessSync, constants, existsSync, lstatSync, statSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import shell from 'shelljs';
import { InstallFailure } from './install-failure';
import { findAt, isSame, mtimeOf, type Owner, sha256Of } from './install-files';
import { DATASTORE, type Entry, type Folder, type Manifest } from './install-state';

/** What is installed, and where. */
export interface Target {
  /** VAR. */
  readonly varDir: string;
  /** The built tree: a folder for each driver, and what lies beside them. */
  readonly source: string;
  readonly version: string;
}

/** A file to put. */
export interface NewFile {
  readonly source: string;
  readonly path: string;
  readonly mode: number;
  readonly isScript: boolean;
  /** Its SHA-256. */
  readonly content: string;
}

/** What an installation does. */
export interface Plan {
  readonly files: readonly NewFile[];
  /** The names of the drivers, which are those of their folders. */
  readonly drivers: readonly string[];
  /** The manifest while it is under way: files of an older version that are no more among them. */
  readonly manifest: Manifest;
  /** The originals that no run before has kept. */
  readonly toKeep: readonly Entry[];
}

/** Returns the files of the built tree. Throws `failed` when there are none. */
export function newFiles(source: string): NewFile[] {
  const found = existsSync(source) ? [...shell.find(source)].sort() : [];
  const files = found.filter((path) => statSync(path).isFile() && !path.endsWith('.ts'));
  if (files.length === 0) throw new InstallFailure('failed', `${source} holds no drivers: build them first.`);
  return files.map((path) => {
    const isScript = (statSync(path).mode & 0o100) !== 0;
    const mode = isScript ? 0o755 : 0o644;
    return { source: path, path: join(DATASTORE, relative(source, path)), mode, isScript, content: sha256Of(path) };
  });
}

/** Looks at VAR and says what an installation does there, changing nothing. `stamp` names the folder of what it replaces. */
export function planInstall(target: Target, older: Manifest | undefined, stamp: string): Plan {
  const files = newFiles(target.source);
  const entries = files.map((file) => entryOf(target, file, older, stamp));
  const gone = (older?.files ?? []).filter(({ path }) => files.every((file) => file.path !== path));
  const known = older?.folders ?? [];
  const folders = foldersFor(target.varDir, files).filter(({ path }) => known.every((folder) => folder.path !== path));
  const isKnown = ({ path }: Entry): boolean => (older?.files ?? []).some((entry) => entry.path === path);
  return {
    files,
    drivers: driversOf(files),
    manifest: {
      format: 1,
      status: 'installing',
      version: target.version,
      files: [...entries, ...gone],
      folders: [...known, ...folders],
    },
    toKeep: entries.filter((entry) => entry.before !== null && !isKnown(entry)),
  };
}

function driversOf(files: readonly NewFile[]): string[] {
  const folders = files.map(({ path }) => dirname(relative(DATASTORE, path)).split('/', 1).join());
  return [...new Set(folders)].filter((name) => name !== '.');
}

function entryOf(target: Target, file: NewFile, older: Manifest | undefined, stamp: string): Entry {
  const { path, content } = file;
  const entry = older?.files.find((one) => one.path === path);
  if (entry !== undefined) return { ...entry, ours: [...new Set([...entry.ours, content])] };
  const found = findAt(join(target.varDir, path));
  const before = found === undefined ? null : { ...found, kept: join(stamp, path) };
  return { path, before, ours: [content] };
}

/** Returns the folders of the files, from the top: those to be made, and those that something is put into. */
function foldersFor(varDir: string, files: readonly NewFile[]): Folder[] {
  const found = new Map<string, Folder>();
  const add = (path: string): void => {
    if (found.has(path)) return;
    const folder = join(varDir, path);
    if (existsSync(folder)) {
      if (!statSync(folder).isDirectory()) throw inTheWay(folder);
      found.set(path, { path, mtimeNs: mtimeOf(folder) });
      return;
    }
    if (lstatSync(folder, { throwIfNoEntry: false }) !== undefined) throw inTheWay(folder);
    add(dirname(path));
    found.set(path, { path, mtimeNs: null });
  };
  for (const { path } of files) add(dirname(path));
  return [...found.values()];
}

function inTheWay(folder: string): InstallFailure {
  return new InstallFailure(
    'refused',
    `${folder} is in the way: it is not a folder. Move it elsewhere and run this again.`,
  );
}

/** Returns whom everything is to belong to, when this process may decide that: the owner of VAR/remotes, or of VAR. */
export function ownerOf(varDir: string): Owner | undefined {
  if (process.getuid?.() !== 0) return undefined;
  const remotes = join(varDir, 'remotes');
  const { uid, gid } = statSync(existsSync(remotes) ? remotes : varDir);
  return { uid, gid };
}

/**
 * Makes sure, before anything is changed, that everything can be written and given back as it was.
 * Throws `refused`.
 */
export function checkAccess(varDir: string, { files, folders }: Pick<Manifest, 'files' | 'folders'>): void {
  const uid = process.getuid?.() ?? 0;
  const existing = [...folders].map(({ path }) => join(varDir, path)).filter((folder) => existsSync(folder));
  for (const folder of [varDir, ...existing]) {
    const owner = statSync(folder).uid;
    if (uid !== 0 && owner !== uid) throw foreign(folder, owner);
    try {
      accessSync(folder, constants.W_OK | constants.X_OK);
    } catch {
      throw new InstallFailure(
        'refused',
        `${folder} cannot be written: run this as root or as the owner of ${varDir}.`,
      );
    }
  }
  for (const { path, before } of files) {
    if (before === null || uid === 0) continue;
    const isGroup = [process.getgid?.(), ...(process.getgroups?.() ?? [])].includes(before.gid);
    if (before.uid !== uid || !isGroup) throw foreign(join(varDir, path), before.uid);
  }
}

function foreign(path: string, owner: number): InstallFailure {
  return new InstallFailure(
    'refused',
    `${path} belongs to another user (${owner}), so only root can give it back as it was: run this as root.`,
  );
}

/** Tells whether somebody changed a file since the installation: it is there, neither as we put it nor as it was before. */
export function isChanged(varDir: string, { path, before, ours }: Entry): boolean {
  const found = findAt(join(varDir, path));
  if (found === undefined || (found.kind === 'file' && ours.includes(found.content))) return false;
  return before === null || found.kind !== before.kind || found.content !== before.content;
}

/** Tells whether the place of a file is as it was before the first installation. */
export function isAsBefore(varDir: string, { path, before }: Entry): boolean {
  return isSame(findAt(join(varDir, path)), before ?? undefined);
}

/** Says in words what happens at the place of a file; `file` is what comes there, if anything does. */
export function changeAt(varDir: string, entry: Entry, file: NewFile | undefined): string {
  const found = findAt(join(varDir, entry.path));
  if (file === undefined) return entry.before === null ? 'would remove' : 'would give back';
  if (found === undefined) return 'would add';
  return found.kind === 'file' && found.content === file.content ? 'is there already:' : 'would replace';
}
