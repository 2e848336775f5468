import { spawnSync } from 'node:child_process';
import { chmodSync, cpSync, existsSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { type InstallerWorld, runPlain, startInstallerWorld } from '../helpers/installer';
import { isRoot, snapshotOf } from '../helpers/stock-var';
import { comesWhile } from '../helpers/waits';

const RESTIC = 'remotes/datastore/restic';
/** Runs the installer as an ordinary user. */
const AS_USER = isRoot ? ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups', '--'] : [];

let world: InstallerWorld;
t.before(async () => {
  world = await startInstallerWorld(['restic/monitor', 'restic/rm', 'restic/ls']);
});
t.teardown(() => world.stop());

t.test('what is refused, before anything is changed', async (t) => {
  const varDir = world.newVar();
  const before = snapshotOf(varDir);
  const cases: readonly [words: readonly string[], code: number, line: RegExp][] = [
    [['--vra', varDir], 2, /^install: Unknown argument: vra\. See: install --help\n$/],
    [['now'], 2, /^install: unexpected word: now\. See: install --help\n$/],
    [['--var'], 2, /^install: Not enough arguments following: var\. See: /],
    [['--var='], 2, /^install: a path is empty\. See: /],
    [
      ['--var', join(varDir, 'elsewhere')],
      3,
      /elsewhere is not there: name the folder of the front-end's data with --var/,
    ],
    [['--var', join(varDir, 'remotes/VERSION')], 3, /VERSION is not there/],
    [
      ['--var', varDir, '--conf', '/no/such.conf'],
      3,
      /^install: \/no\/such\.conf is not there: name another with --conf\.\n$/,
    ],
  ];
  for (const [words, code, line] of cases) {
    t.match(
      runPlain([join(world.unpacked, 'install'), ...words]),
      { code, stdout: /^$/, stderr: line },
      words.join(' '),
    );
  }
  t.strictSame(snapshotOf(varDir), before);

  rmSync(join(varDir, RESTIC, 'ls'), { force: true });
  cpSync(join(varDir, 'remotes/etc'), join(varDir, RESTIC, 'ls'), { recursive: true });
  t.match(world.install(varDir), { code: 3, stderr: /restic\/ls is in the way: it is not a file/ });
  t.match(world.install(world.newVar(), ['--help']), { code: 0, stdout: /Exit codes:\n {2}0 {2}done/ });
  t.match(world.install(world.newVar(), ['--version']), { code: 0, stdout: /^install \d+\.\d+\.\d+\n$/ });
});

t.test('who may not write is told so first', async (t) => {
  const varDir = world.newVar();
  if (isRoot) spawnSync('chown', ['-R', '-h', '65534:65534', join(varDir, 'remotes')]);
  else chmodSync(join(varDir, RESTIC), 0o555);
  const before = snapshotOf(varDir);
  const { code, stderr } = world.install(varDir, [], AS_USER);
  t.equal(code, 3);
  t.match(
    stderr,
    isRoot
      ? /var\d+ belongs to another user \(9869\).*run this as root\.\n$/
      : /cannot be written: run this as root or/,
  );
  t.strictSame(snapshotOf(varDir), before);
  chmodSync(join(varDir, RESTIC), 0o755);
});

t.test('the owner of the data may do it all, where everything is his', async (t) => {
  const varDir = world.newVar();
  if (isRoot) spawnSync('chown', ['-R', '-h', '65534:65534', varDir]);
  const before = snapshotOf(varDir);
  const installed = world.install(varDir, [], AS_USER);
  t.equal(installed.code, 0, installed.stderr);
  t.equal(world.install(varDir, ['--uninstall'], AS_USER).code, 0);
  t.strictSame(snapshotOf(varDir), before);
});

t.test('two at once: the second waits for its turn by going away', async (t) => {
  const slow = `${world.unpacked}.slow`;
  cpSync(world.unpacked, slow, { recursive: true });
  const [go, begun] = [join(world.folder, 'go'), join(world.folder, 'begun')];
  const script = `#!/bin/sh\n: >'${begun}'\nfor n in $(seq 12000); do [ ! -e '${go}' ] || break; sleep 0.05; done\nexec "$(dirname "$0")/rm" --version\n`;
  writeFileSync(join(slow, 'datastore/restic/monitor'), script);
  const varDir = world.newVar();
  const first = world.start(varDir, [], join(slow, 'install'));
  const ended = new Promise((resolve) => first.on('close', resolve));
  t.ok(await comesWhile(first, 'the first is at work', () => existsSync(begun)), 'the first is at work');
  const second = world.install(varDir, ['--dry-run']);
  t.match(second, { code: 3, stderr: /another installation is at work in .*: wait for its end\.\n$/ });
  writeFileSync(go, '');
  t.equal(await ended, 0);
});
