import { existsSync, realpathSync, statSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { join } from 'node:path';
import shell from 'shelljs';
import { adviceFor, nodeWarning } from './install-advice';
import { EXIT_CODES, InstallFailure, reasonOf } from './install-failure';
import { type InstallOptions, readOptions } from './install-options';
import { changeAt, checkAccess, ownerOf, type Plan, planInstall } from './install-plan';
import { DATASTORE, type Manifest, State } from './install-state';
import { installTree, type Place, uninstallTree } from './install-tree';

/** What an installer installs. */
export interface Drivers {
  /** How the installer is called. */
  readonly command: string;
  readonly version: string;
  /** Returns the folder with the built tree, which is built first where it has to be. */
  readonly built: () => Promise<string>;
}

/** Runs the installer with these words of the command line; `process.exitCode` tells how it ended. Never throws. */
export async function runInstaller(words: readonly string[], drivers: Drivers): Promise<void> {
  shell.config.fatal = true;
  shell.set('-f'); // no patterns: a path may hold any character
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {}); // `| head` has read enough
  try {
    const options = await readOptions(words, drivers);
    if (typeof options === 'string') print(options);
    else await withLock(options, (locked) => run(locked, drivers));
  } catch (error) {
    const isFailure = error instanceof InstallFailure;
    const line = isFailure ? error.message : `${reasonOf(error)}. Run it again to finish, or go back with --uninstall.`;
    const outcome = isFailure ? error.outcome : 'failed';
    process.stderr.write(`${drivers.command}: ${line}\n`);
    process.exitCode = EXIT_CODES[outcome].code;
  }
}

async function run(options: InstallOptions, drivers: Drivers): Promise<void> {
  const { varDir } = options;
  const owner = ownerOf(varDir);
  const stamp = new Date().toISOString().replace(/[-:]|\.\d+/g, '');
  const place: Place = { varDir, owner, state: new State(varDir, owner), stamp, say: print };
  const older = place.state.read();
  if (options.uninstall) uninstall(place, older, options);
  else await install(place, older, options, drivers);
}

async function install(
  place: Place,
  older: Manifest | undefined,
  options: InstallOptions,
  { built, version }: Drivers,
): Promise<void> {
  const { varDir } = place;
  const source = await built().catch((error: NodeJS.ErrnoException) => {
    if (!['EACCES', 'EPERM', 'EROFS'].includes(error.code ?? '')) throw error;
    throw new InstallFailure(
      'refused',
      `the scripts cannot be built here: ${reasonOf(error)}. Run this as the owner of the checkout, or build there first and install the package.`,
    );
  });
  const plan = planInstall({ varDir, source, version }, older, place.stamp);
  checkAccess(varDir, plan.manifest);
  const advice = adviceFor(options, plan.drivers);
  if (options.dryRun) {
    for (const line of changesOf(varDir, plan)) print(line);
  } else {
    await installTree(place, plan, older);
    const kept = plan.manifest.files.filter(({ before }) => before !== null).length;
    print(`${plan.drivers.join(', ')} ${version}: ${plan.files.length} files are in ${join(varDir, DATASTORE)}`);
    print('every script runs from there');
    print(kept === 0 ? 'nothing was replaced' : `the ${kept} files that were there are kept in ${place.state.folder}`);
  }
  for (const line of [...nodeWarning(), '', ...advice]) print(line);
}

function uninstall(place: Place, manifest: Manifest | undefined, { varDir, dryRun }: InstallOptions): void {
  if (manifest === undefined) {
    if (!dryRun) place.state.remove();
    print(`nothing of these drivers is installed in ${varDir}`);
    return;
  }
  checkAccess(varDir, manifest);
  if (dryRun) {
    for (const { path, before } of manifest.files) print(`would ${before === null ? 'remove' : 'give back'} ${path}`);
    return;
  }
  uninstallTree(place, manifest);
  print(`what was replaced is back in ${join(varDir, DATASTORE)}; nothing of ours is left`);
  print('what oned.conf says of these drivers is no longer needed, unless OpenNebula came with it');
}

function changesOf(varDir: string, { files, manifest }: Plan): string[] {
  return manifest.files.map((entry) => {
    const file = files.find(({ path }) => path === entry.path);
    return `${changeAt(varDir, entry, file)} ${entry.path}`;
  });
}

/**
 * Does the work unless another installer is at work in the same VAR. The kernel drops the name of the socket with the
 * process that holds it, however that ends.
 */
async function withLock(options: InstallOptions, work: (options: InstallOptions) => Promise<void>): Promise<void> {
  if (!existsSync(options.varDir) || !statSync(options.varDir).isDirectory()) {
    const remedy = "name the folder of the front-end's data with --var.";
    throw new InstallFailure('refused', `${options.varDir} is not there: ${remedy}`);
  }
  const varDir = realpathSync(options.varDir);
  const { dev, ino } = statSync(varDir);
  const lock: Server = createServer();
  await new Promise<void>((resolve, reject) => {
    const taken = new InstallFailure('refused', `another installation is at work in ${varDir}: wait for its end.`);
    lock.once('error', (error: NodeJS.ErrnoException) => reject(error.code === 'EADDRINUSE' ? taken : error));
    lock.listen(`\0one-backup-drivers ${dev}:${ino}`, resolve);
  });
  try {
    await work({ ...options, varDir });
  } finally {
    lock.close();
  }
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}
