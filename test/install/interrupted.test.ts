import { existsSync, lstatSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { type InstallerWorld, startInstallerWorld } from '../helpers/installer';
import { killGroup } from '../helpers/processes';
import { contentOf, snapshotOf } from '../helpers/stock-var';
import { hasEnded } from '../helpers/waits';

const DATASTORE = 'remotes/datastore';
/** Replaced: a file, one with odd rights, a link. New: a file, a folder with a file. */
const SCRIPTS = ['restic/cp', 'restic/monitor', 'restic/rm', 'restic/stat', 'rsync/monitor'];

/** No installation of these few files takes so long. */
const HANGS_AFTER_MS = 300_000;

let world: InstallerWorld;
let pristine: string[];
let installed: string;
let finished: string[];
t.before(async () => {
  world = await startInstallerWorld(SCRIPTS);
  // The installer is the real one; what it installs is as large as ours, but starts at once.
  const [, version] = world.install(world.pristine, ['--version']).stdout.trim().split(' ');
  const script = `#!/bin/sh\necho ${version}\nexit\n${'#'.repeat(2 ** 20)}`;
  for (const path of SCRIPTS) writeFileSync(join(world.source, path), `${script}${path}\n`);
  pristine = snapshotOf(world.pristine, false);
  installed = world.newVar();
  world.install(installed);
  finished = shapeOf(installed);
});
t.teardown(() => world.stop());

/** What is the same after every finished installation: all but the times, and what the manifest says of them. */
function shapeOf(varDir: string): string[] {
  const { status } = JSON.parse(readFileSync(join(varDir, '.one-backup-drivers/manifest.json'), 'utf8'));
  const lines = snapshotOf(varDir).filter((line) => !line.includes('manifest.json'));
  return [status, ...lines.map((line) => line.replace(/\d{8}T\d{6}Z/, 'TIME').replace(/ \d{19} /, ' '))];
}

const manifest = (varDir: string): string => join(varDir, '.one-backup-drivers/manifest.json');
const target = (varDir: string, script = ''): string => join(varDir, DATASTORE, script);

function statusIn(varDir: string): string {
  try {
    return JSON.parse(readFileSync(manifest(varDir), 'utf8')).status;
  } catch {
    return 'none';
  }
}

/** Tells whether a place looks as in another tree, without reading it: this is asked many times in a millisecond. */
function looksLike(path: string, other: string): boolean {
  const [a, b] = [path, other].map((one) => lstatSync(one, { throwIfNoEntry: false }));
  return a?.size === b?.size && a?.mode === b?.mode;
}

/** Moments of a run, each by what is to be seen from outside. */
type Moment = [name: string, hasCome: (varDir: string) => boolean];

const INSTALLING: Moment[] = [
  ['its folder is made', (varDir) => existsSync(join(varDir, '.one-backup-drivers'))],
  ['the manifest is written', (varDir) => statusIn(varDir) === 'installing'],
  ...SCRIPTS.map(
    (script): Moment => [`${script} is put`, (varDir) => looksLike(target(varDir, script), join(world.source, script))],
  ),
  ['a file is half put', (varDir) => existsSync(target(varDir, 'restic/.rm.one-backup-drivers'))],
  ['all is done', (varDir) => statusIn(varDir) === 'installed'],
];

const REMOVING: Moment[] = [
  ['it begins', (varDir) => statusIn(varDir) === 'removing'],
  ...SCRIPTS.map(
    (script): Moment => [
      `${script} is given back`,
      (varDir) => looksLike(target(varDir, script), target(world.pristine, script)),
    ],
  ),
  ['a file is half given back', (varDir) => existsSync(target(varDir, 'restic/.rm.one-backup-drivers'))],
  ['the manifest is gone', (varDir) => !existsSync(manifest(varDir))],
];

/** Runs the installer and kills it, with all that it started, at a moment. */
async function cutAt(varDir: string, words: readonly string[], [moment, hasCome]: Moment): Promise<void> {
  const child = world.start(varDir, words);
  const ended = new Promise((resolve) => child.on('close', resolve));
  const deadline = Date.now() + HANGS_AFTER_MS;
  for (let ticks = 0; !hasCome(varDir) && !hasEnded(child) && Date.now() < deadline; ticks++) {
    if (ticks % 100 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  const hangs = Date.now() >= deadline;
  killGroup(child.pid);
  await ended;
  if (hangs) throw new Error(`waited in vain, and the installer did not end: ${moment}`);
}

/** Every script is there as it was before or as it is ours, whole. */
function checkWhole(t: Test, varDir: string): void {
  for (const script of SCRIPTS) {
    const allowed = [target(world.pristine, script), join(world.source, script)].map(contentOf);
    t.ok(allowed.includes(contentOf(target(varDir, script))), `${script} is whole`);
  }
}

for (const [what, words, moments] of [
  ['install', [], INSTALLING],
  ['uninstall', ['--uninstall'], REMOVING],
] as const) {
  for (const moment of moments) {
    t.test(`${what}, killed when ${moment[0]}`, async (t) => {
      for (const then of [[], ['--uninstall']]) {
        const varDir = world.newVar(what === 'install' ? world.pristine : installed);
        await cutAt(varDir, words, moment);
        const ours = SCRIPTS.filter((script) => looksLike(target(varDir, script), join(world.source, script)));
        t.comment(`${ours.length} of ${SCRIPTS.length} were ours`);
        checkWhole(t, varDir);
        const { code, stdout, stderr } = world.install(varDir, then);
        t.strictSame([code, stderr], [0, '']);
        t.notMatch(stdout, /was changed/, 'what a dead run left is not taken for the work of somebody');
        if (then.length === 0) {
          t.strictSame(shapeOf(varDir), finished, 'it is finished');
          t.equal(world.install(varDir, ['--uninstall']).code, 0);
        }
        t.strictSame(snapshotOf(varDir, false), pristine, 'all is as it was before');
      }
    });
  }
}
