import { existsSync, readdirSync, rmdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { InstallFailure, reasonOf } from './install-failure';
import {
  findAt,
  makeFolders,
  type Owner,
  ownFolder,
  putFile,
  putWhole,
  removeFile,
  removePart,
  setMtime,
  syncToDisk,
} from './install-files';
import { isAsBefore, isChanged, type NewFile, type Plan } from './install-plan';
import type { Entry, Manifest, State } from './install-state';
import { runScripts } from './run-scripts';

/** Where the work is done. */
export interface Place {
  readonly varDir: string;
  /** Whom what we put belongs to, when it is not simply us. */
  readonly owner: Owner | undefined;
  readonly state: State;
  /** The time of this run, as it stands in names of folders. */
  readonly stamp: string;
  /** Tells the user one line. */
  readonly say: (line: string) => void;
}

/**
 * Puts the planned files in place. Every script has run from where it was built before anything is changed, and runs
 * once more from its new place. Throws `notRunning` or `failed`; a first installation is undone then.
 */
export async function installTree(place: Place, plan: Plan, older: Manifest | undefined): Promise<void> {
  const { varDir, state } = place;
  const { manifest } = plan;
  const scripts = plan.files.filter(({ isScript }) => isScript);
  await runScripts(
    scripts.map(({ source }) => source),
    manifest.version,
  );
  state.prepare(older);
  for (const { path, before } of plan.toKeep) if (before !== null) state.keep(path, before.kept);
  state.write(manifest);
  try {
    putAll(place, plan);
    await runScripts(
      scripts.map(({ path }) => join(varDir, path)),
      manifest.version,
    );
  } catch (error) {
    const outcome = error instanceof InstallFailure ? error.outcome : 'failed';
    const again = 'Repair that and run this again, or go back with --uninstall.';
    if (older !== undefined) throw new InstallFailure(outcome, `${reasonOf(error)}. ${again}`);
    uninstallTree(place, manifest);
    throw new InstallFailure(outcome, `${reasonOf(error)}. Everything is as it was before.`);
  }
  const current = manifest.files.filter(({ path }) => plan.files.some((file) => file.path === path));
  const installed = { ...manifest, status: 'installed', files: current } as const;
  state.write(installed);
  state.removeRubbish(installed);
}

/** Makes everything as it was before the first installation; at the end nothing of ours is left in VAR. */
export function uninstallTree(place: Place, manifest: Manifest): void {
  const { varDir, state, say } = place;
  state.write({ ...manifest, status: 'removing' });
  for (const entry of manifest.files) {
    setAside(place, entry);
    giveBack(place, entry);
  }
  const folders = manifest.folders.map(({ path, mtimeNs }) => ({ folder: join(varDir, path), mtimeNs })).reverse();
  const existing = folders.filter(({ folder }) => existsSync(folder));
  for (const { folder, mtimeNs } of existing) {
    if (mtimeNs !== null) continue;
    if (readdirSync(folder).length === 0) rmdirSync(folder);
    else say(`${folder} stays: it holds files that are not ours`);
  }
  for (const { folder, mtimeNs } of existing) if (mtimeNs !== null) setMtime(folder, mtimeNs);
  syncFolders(varDir, manifest);
  state.remove();
}

function putAll(place: Place, { files: planned, manifest }: Plan): void {
  const { varDir, owner } = place;
  for (const { path, mtimeNs } of manifest.folders) {
    makeFolders(varDir, path, owner);
    if (mtimeNs === null) ownFolder(join(varDir, path), owner); // in case that a run died in between
  }
  for (const entry of manifest.files) {
    setAside(place, entry);
    const file = planned.find(({ path }) => path === entry.path);
    if (file === undefined) giveBack(place, entry);
    else put(place, file);
  }
  syncFolders(varDir, manifest);
}

function put({ varDir, owner }: Place, { source, path, mode, content }: NewFile): void {
  const target = join(varDir, path);
  const found = findAt(target);
  const isOurs = found?.kind === 'file' && found.content === content && found.mode === mode;
  if (isOurs && (owner === undefined || (found.uid === owner.uid && found.gid === owner.gid))) removePart(target);
  else putFile(source, target, mode, owner);
}

function giveBack({ varDir, owner, state }: Place, entry: Entry): void {
  const target = join(varDir, entry.path);
  if (entry.before === null) removeFile(target);
  else if (isAsBefore(varDir, entry)) removePart(target);
  else {
    makeFolders(varDir, dirname(entry.path), owner);
    putWhole(state.pathOf(entry.before.kept), target);
  }
}

/** Keeps a file that somebody changed since the installation, before it is replaced. */
function setAside({ varDir, owner, stamp, say }: Place, entry: Entry): void {
  if (!isChanged(varDir, entry)) return;
  const aside = join(`one-backup-drivers-changed-${stamp}`, entry.path);
  makeFolders(varDir, dirname(aside), owner);
  putWhole(join(varDir, entry.path), join(varDir, aside));
  syncToDisk(join(varDir, dirname(aside)));
  say(`${entry.path} was changed since its installation: kept as ${join(varDir, aside)}`);
}

function syncFolders(varDir: string, { folders }: Manifest): void {
  const paths = folders.map(({ path }) => join(varDir, path));
  for (const folder of paths.filter((path) => existsSync(path))) syncToDisk(folder);
}
