import {
  appendFileSync,
  cpSync,
  existsSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { type InstallerWorld, runPlain, startInstallerWorld } from '../helpers/installer';
import { contentOf, isRoot, ONEADMIN, snapshotOf } from '../helpers/stock-var';

const ROOT = join(__dirname, '..', '..');
const RESTIC = 'remotes/datastore/restic';
/** As few as there can be: the installer looks for what there is, and does not care how much. */
const SCRIPTS = [
  'LICENSES.txt',
  'restic_downloader.rb',
  'restic/monitor',
  'restic/rm',
  'restic/cp',
  'restic/ls',
  'rsync/monitor',
];

let world: InstallerWorld;
t.before(async () => {
  world = await startInstallerWorld(SCRIPTS);
});
t.teardown(() => world.stop());

t.test('npm run install-drivers: everything that is built, and back', async (t) => {
  const varDir = world.newVar();
  const before = snapshotOf(varDir);
  const command = [join(ROOT, 'node_modules/.bin/tsx'), join(ROOT, 'build/install.ts'), '--var', varDir];
  const installed = runPlain(command);
  t.equal(installed.code, 0, installed.stderr);
  t.match(installed.stdout, /^restic, rsync.* \d+ files are in .*\nevery script runs from there$/m);
  const built = join(ROOT, 'remotes/datastore');
  const files = readdirSync(built, { recursive: true, encoding: 'utf8' }).filter((path) => !path.endsWith('.ts'));
  for (const path of files)
    t.equal(contentOf(join(varDir, 'remotes/datastore', path)), contentOf(join(built, path)), path);
  t.equal(existsSync(join(varDir, RESTIC, 'monitor.ts')), false);
  t.match(runPlain([join(varDir, RESTIC, 'monitor'), '--version']).stdout, /^monitor \d/);
  const removed = runPlain([...command, '--uninstall']);
  t.equal(removed.code, 0, removed.stderr);
  t.strictSame(snapshotOf(varDir), before);
});

t.test('what is installed, what stays, what is kept', async (t) => {
  const varDir = world.newVar();
  const before = snapshotOf(varDir);
  const { code, stdout, stderr } = world.install(varDir);
  t.strictSame([code, stderr], [0, '']);
  t.notMatch(stdout, /[^\n -~]/, 'ASCII only');
  t.match(stdout, /complete\.conf has all that is needed/);
  for (const path of SCRIPTS) {
    const target = join(varDir, 'remotes/datastore', path);
    t.equal(contentOf(target), contentOf(join(world.source, path)), path);
    const { mode, uid } = statSync(target);
    t.equal(mode & 0o7777, path === 'LICENSES.txt' ? 0o644 : 0o755, path);
    if (isRoot) t.equal(uid, ONEADMIN, path);
  }
  for (const path of ['restic/restic', 'restic/backup', 'restic/notes, with "blanks" [*]', 'downloader.sh', 'fs/cp']) {
    const [kept, pristine] = [varDir, world.pristine].map((dir) => contentOf(join(dir, 'remotes/datastore', path)));
    t.equal(kept, pristine, `${path} is not ours`);
  }
  const kept = join(varDir, '.one-backup-drivers');
  const [dated] = readdirSync(kept).filter((name) => /^\d{8}T\d{6}Z$/.test(name));
  t.equal(contentOf(join(kept, `${dated}`, RESTIC, 'rm')), contentOf(join(world.pristine, RESTIC, 'rm')));
  t.equal(contentOf(join(kept, `${dated}`, RESTIC, 'cp')), '-> ../fs/cp');
  const manifest = JSON.parse(readFileSync(join(kept, 'manifest.json'), 'utf8'));
  const original = manifest.files.find(({ path }: { path: string }) => path === `${RESTIC}/rm`).before;
  t.match(original, { kind: 'file', mode: 0o4511, mtimeNs: /456789$/ });

  const removed = world.install(varDir, ['--uninstall']);
  t.strictSame([removed.code, removed.stderr], [0, '']);
  t.strictSame(snapshotOf(varDir), before);
  t.match(world.install(varDir, ['--uninstall']), { code: 0, stdout: /^nothing of these drivers is installed in / });
  t.strictSame(snapshotOf(varDir), before, 'the second time, nothing');
});

t.test('a VAR that has nothing yet', async (t) => {
  const varDir = world.newVar();
  rmSync(join(varDir, 'remotes'), { recursive: true });
  const before = snapshotOf(varDir);
  t.equal(world.install(varDir).code, 0);
  t.match(runPlain([join(varDir, RESTIC, 'monitor'), '--version']).stdout, /^monitor \d/);
  t.equal(world.install(varDir, ['--uninstall']).code, 0);
  t.strictSame(snapshotOf(varDir), before);
});

t.test('links in place of VAR and of a driver', async (t) => {
  const varDir = world.newVar();
  const elsewhere = join(world.folder, 'elsewhere');
  cpSync(join(varDir, 'remotes/etc'), elsewhere, { recursive: true });
  symlinkSync(elsewhere, join(varDir, 'remotes/datastore/rsync'));
  const link = join(world.folder, 'link');
  symlinkSync(varDir, link);
  const before = [snapshotOf(varDir), snapshotOf(elsewhere)];
  t.equal(world.install(link).code, 0);
  t.equal(contentOf(join(elsewhere, 'monitor')), contentOf(join(world.source, 'rsync/monitor')));
  t.equal(world.install(link, ['--uninstall']).code, 0);
  t.strictSame([snapshotOf(varDir), snapshotOf(elsewhere)], before);
});

t.test('again, and a newer version: the first originals are what comes back', async (t) => {
  const varDir = world.newVar();
  const before = snapshotOf(varDir);
  t.equal(world.install(varDir).code, 0);
  const after = snapshotOf(varDir);
  t.equal(world.install(varDir).code, 0);
  const isTree = (line: string): boolean => !line.startsWith('.');
  t.strictSame(snapshotOf(varDir).filter(isTree), after.filter(isTree), 'nothing to do, so nothing was touched');

  const newer = `${world.unpacked}.newer`;
  cpSync(world.unpacked, newer, { recursive: true });
  appendFileSync(join(newer, 'datastore/restic/monitor'), '\n// newer\n');
  cpSync(join(newer, 'datastore/restic/monitor'), join(newer, 'datastore/restic/stat'));
  rmSync(join(newer, 'datastore/restic/rm'));
  rmSync(join(newer, 'datastore/rsync'), { recursive: true });
  const upgraded = runPlain([join(newer, 'install'), '--var', varDir]);
  t.equal(upgraded.code, 0, upgraded.stderr);
  t.match(readFileSync(join(varDir, RESTIC, 'monitor'), 'utf8'), /newer\n$/);
  t.equal(existsSync(join(varDir, 'remotes/datastore/rsync/monitor')), false);
  t.equal(contentOf(join(varDir, RESTIC, 'rm')), contentOf(join(world.pristine, RESTIC, 'rm')), 'no longer ours');
  t.equal(world.install(varDir, ['--uninstall']).code, 0, 'by the older one');
  t.strictSame(snapshotOf(varDir), before);
});

t.test('what somebody changed is kept aside and named', async (t) => {
  const varDir = world.newVar();
  const before = snapshotOf(varDir, false);
  t.equal(world.install(varDir).code, 0);
  appendFileSync(join(varDir, RESTIC, 'monitor'), '// mine\n');
  writeFileSync(join(varDir, RESTIC, 'rm'), 'replaced');
  rmSync(join(varDir, RESTIC, 'cp'));
  const again = world.install(varDir);
  t.equal(again.code, 0);
  const named = /restic\/(\w+) was changed since its installation: kept as (.*)$/gm;
  const kept = [...again.stdout.matchAll(named)].map(([, name, path]) => [
    name,
    readFileSync(`${path}`, 'utf8').slice(-8),
  ]);
  t.strictSame(kept, [
    ['monitor', '// mine\n'],
    ['rm', 'replaced'],
  ]);
  for (const name of ['monitor', 'rm', 'cp'])
    t.equal(
      contentOf(join(varDir, RESTIC, name)),
      contentOf(join(world.source, 'restic', name)),
      `${name} is ours again`,
    );

  writeFileSync(join(varDir, RESTIC, 'ls'), 'late');
  writeFileSync(join(varDir, 'remotes/datastore/rsync/wrapper'), 'by somebody');
  const removed = world.install(varDir, ['--uninstall']);
  t.equal(removed.code, 0);
  t.match(removed.stdout, /restic\/ls was changed since its installation: kept as /);
  t.match(removed.stdout, /datastore\/rsync stays: it holds files that are not ours/);
  rmSync(join(varDir, 'remotes/datastore/rsync'), { recursive: true });
  for (const name of readdirSync(varDir).filter((name) => name.startsWith('one-backup-drivers-changed-')))
    rmSync(join(varDir, name), { recursive: true });
  const isDatastore = (line: string): boolean => line.startsWith('remotes/datastore ');
  const rest = (lines: string[]): string[] => lines.filter((line) => !isDatastore(line));
  t.strictSame(rest(snapshotOf(varDir, false)), rest(before), 'beside what was named, all is as before');
});

t.test('a script that does not run: nothing is changed, or all is as before', async (t) => {
  const broken = `${world.unpacked}.broken`;
  cpSync(world.unpacked, broken, { recursive: true });
  const script = join(broken, 'datastore/restic/monitor');
  const install = (varDir: string): ReturnType<typeof runPlain> => runPlain([join(broken, 'install'), '--var', varDir]);
  const varDir = world.newVar();
  const before = snapshotOf(varDir);

  writeFileSync(script, '#!/bin/sh\necho too old\nexit 7\n');
  t.match(install(varDir), { code: 4, stderr: /restic\/monitor --version ended with 7: too old/ });
  t.strictSame(snapshotOf(varDir), before, 'it was tried before anything was done');

  const onlyThere = '#!/bin/sh\ncase $0 in */remotes/*) exit 9 ;; esac\nexec "$(dirname "$0")/rm" --version\n';
  writeFileSync(script, onlyThere);
  t.match(install(varDir), {
    code: 4,
    stderr: /restic\/monitor --version ended with 9\. Everything is as it was before/,
  });
  t.strictSame(snapshotOf(varDir), before, 'a first installation is undone');

  t.equal(world.install(varDir).code, 0);
  t.match(install(varDir), {
    code: 4,
    stderr: /ended with 9\. Repair that and run this again, or go back with --uninstall/,
  });
  t.equal(world.install(varDir).code, 0);
  t.equal(contentOf(join(varDir, RESTIC, 'monitor')), contentOf(join(world.source, 'restic/monitor')));
  t.equal(world.install(varDir, ['--uninstall']).code, 0);
  t.strictSame(snapshotOf(varDir), before);
});

t.test('a dry run says it all and does nothing', async (t) => {
  const varDir = world.newVar();
  const before = snapshotOf(varDir);
  const { code, stdout } = world.install(varDir, ['--dry-run']);
  t.equal(code, 0);
  t.match(stdout, /^would replace remotes\/datastore\/restic\/monitor$/m);
  t.match(stdout, /^would add remotes\/datastore\/rsync\/monitor$/m);
  t.match(world.install(varDir, ['--dry-run', '--uninstall']).stdout, /^nothing of these drivers is installed/);
  t.strictSame(snapshotOf(varDir), before);
  world.install(varDir);
  const after = snapshotOf(varDir);
  t.match(world.install(varDir, ['--dry-run']).stdout, /^is there already: remotes\/datastore\/restic\/monitor$/m);
  const back = world.install(varDir, ['--dry-run', '--uninstall']).stdout;
  t.match(back, /^would give back remotes\/datastore\/restic\/monitor$/m);
  t.match(back, /^would remove remotes\/datastore\/rsync\/monitor$/m);
  t.strictSame(snapshotOf(varDir), after);
});
