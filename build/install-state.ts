import { chownSync, existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import shell from 'shelljs';
import { InstallFailure } from './install-failure';
import {
  type Found,
  makeFolders,
  mtimeOf,
  type Owner,
  ownFolder,
  putWhole,
  setMtime,
  syncToDisk,
} from './install-files';

/** A file of ours, and what was at its place before the first installation. All paths are relative to VAR. */
export interface Entry {
  readonly path: string;
  readonly before: (Found & { readonly kept: string }) | null;
  /** The SHA-256 of every version that we put there. */
  readonly ours: readonly string[];
}

/** A folder in which files came or went: the time that it had, or null when it was not there. */
export interface Folder {
  readonly path: string;
  readonly mtimeNs: string | null;
}

/**
 * How far an installation is:
 *   (no manifest)  nothing of ours is there; what else is in the state folder is rubbish of a run that died
 *   installing     all originals are kept; each file is the original, or ours, old or new
 *   installed      each file is ours
 *   removing       each file is ours, or the original again
 * Installing goes to `installing` and then `installed` from any of them, removing to `removing` and then to nothing:
 * both look at each file as it is, so it never matters where the run before was cut.
 */
export interface Manifest {
  readonly format: 1;
  readonly status: 'installing' | 'installed' | 'removing';
  readonly version: string;
  readonly files: readonly Entry[];
  readonly folders: readonly Folder[];
}

const FOLDER_NAME = '.one-backup-drivers';
const NAME = 'manifest.json';
/** Where the drivers are in VAR. Nothing outside of it is written or removed, whatever a manifest says. */
export const DATASTORE = 'remotes/datastore';

/**
 * The folder with the manifest and what was replaced. It is not in remotes, which `onehost sync` copies to all hosts.
 * It comes and goes without a change of VAR's own time, which oned changes all the while.
 */
export class State {
  readonly folder: string;
  readonly #varDir: string;
  readonly #owner: Owner | undefined;

  constructor(varDir: string, owner: Owner | undefined) {
    this.folder = join(varDir, FOLDER_NAME);
    this.#varDir = varDir;
    this.#owner = owner;
  }

  /** Returns the manifest; undefined when there is none. Throws `failed` when it is not one that we wrote. */
  read(): Manifest | undefined {
    const path = join(this.folder, NAME);
    if (!existsSync(path)) return undefined;
    try {
      return checked(JSON.parse(readFileSync(path, 'utf8')));
    } catch (error) {
      if (error instanceof SyntaxError || error instanceof TypeError) throw damaged(path);
      throw error;
    }
  }

  /** Replaces the manifest as a whole; it is on the disk when this returns. */
  write(manifest: Manifest): void {
    const path = join(this.folder, NAME);
    writeFileSync(`${path}.part`, `${JSON.stringify(manifest, undefined, 1)}\n`);
    if (this.#owner !== undefined) chownSync(`${path}.part`, this.#owner.uid, this.#owner.gid);
    syncToDisk(`${path}.part`);
    renameSync(`${path}.part`, path);
    syncToDisk(this.folder);
  }

  /** Makes the folder, and removes from it what the manifest does not know. */
  prepare(manifest: Manifest | undefined): void {
    if (!existsSync(this.folder)) this.#besideTime(() => makeFolders(this.#varDir, FOLDER_NAME, this.#owner));
    ownFolder(this.folder, this.#owner); // in case that a run died in between
    this.removeRubbish(manifest);
  }

  /** Keeps a copy of a file or link of VAR here; it is on the disk when this returns. */
  keep(path: string, kept: string): void {
    makeFolders(this.folder, dirname(kept), this.#owner);
    putWhole(join(this.#varDir, path), this.pathOf(kept));
    syncToDisk(join(this.folder, dirname(kept)));
  }

  pathOf(kept: string): string {
    return join(this.folder, kept);
  }

  /** Removes what the manifest does not know. */
  removeRubbish(manifest: Manifest | undefined): void {
    const known = (manifest?.files ?? []).flatMap(({ before }) => before?.kept.split('/', 1) ?? []);
    const names = shell.ls('-A', this.folder).filter((name) => name !== NAME && !known.includes(name));
    for (const name of names) shell.rm('-rf', join(this.folder, name));
  }

  /** Removes the folder; the manifest goes first, so that a cut leaves rubbish and never a manifest without its files. */
  remove(): void {
    if (!existsSync(this.folder)) return;
    shell.rm('-f', join(this.folder, NAME));
    syncToDisk(this.folder);
    this.#besideTime(() => shell.rm('-rf', this.folder));
  }

  #besideTime(change: () => void): void {
    const time = mtimeOf(this.#varDir);
    change();
    setMtime(this.#varDir, time);
  }
}

/** Returns a manifest whose paths are where they may be. Throws TypeError. */
function checked(manifest: Manifest): Manifest {
  const isBelow = (path: string, folder: string): boolean => normalize(path) === path && path.startsWith(`${folder}/`);
  const isKept = (path: string): boolean => normalize(path) === path && /^\d{8}T\d{6}Z\//.test(path);
  const isParent = (path: string): boolean => ['.', dirname(DATASTORE), DATASTORE].includes(path);
  const isSound =
    manifest.format === 1 &&
    manifest.files.every(({ path, before }) => isBelow(path, DATASTORE) && (before === null || isKept(before.kept))) &&
    manifest.folders.every(({ path }) => isParent(path) || isBelow(path, DATASTORE));
  if (!isSound) throw new TypeError('not a manifest');
  return manifest;
}

function damaged(path: string): InstallFailure {
  return new InstallFailure(
    'failed',
    `${path} is damaged or of a newer version. The files that were replaced are beside it: put them back by hand.`,
  );
}
