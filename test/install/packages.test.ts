import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { makePackages } from '../../build/package';
import { type BareRoot, folderOf, makeBareRoot } from '../helpers/bare-root';
import { runPlain } from '../helpers/installer';
import { startSshWorld } from '../helpers/sshd';
import { contentOf, makeStockVar, snapshotOf } from '../helpers/stock-var';

const ROOT = join(__dirname, '..', '..');
const BUILT = join(ROOT, 'remotes/datastore');
const PACKAGE = 'opennebula-backup-drivers';
const VERSION: string = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')).version;

let folder: string;
let tarball: string;
let deb: string;
let unpacked: string;
t.before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'one-backup-packages-'));
  unpacked = join(folder, `${PACKAGE}-${VERSION}`);
  [tarball = '', deb = ''] = await makePackages(join(folder, 'dist'));
});
t.teardown(() => rmSync(folder, { recursive: true, force: true }));

/** The files below a folder of drivers, but no sources, each with its content. */
function driversIn(folder: string): string[] {
  const paths = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((path) => !path.endsWith('.ts'));
  const lines = paths.map((path) => `${path} ${contentOf(join(folder, path))}`);
  return lines.filter((line) => !line.endsWith(' ')).sort(); // folders have no content
}

t.test('made again elsewhere, they are the same to the byte', async (t) => {
  const mask = process.umask(0o077);
  const zone = process.env.TZ;
  process.env.TZ = 'Asia/Kolkata';
  const again = await makePackages(join(folder, 'again'));
  process.umask(mask);
  if (zone === undefined) delete process.env.TZ;
  else process.env.TZ = zone;
  t.strictSame(again.map(contentOf), [tarball, deb].map(contentOf));
});

t.test('the archive: unpacked, it installs with node alone', async (t) => {
  t.equal(runPlain(['tar', '-C', folder, '-xzf', tarball]).code, 0);
  const names = (lines: string[]): string[] => lines.map((line) => line.split(' ')[0] ?? '');
  t.strictSame(names(driversIn(join(unpacked, 'datastore'))), names(driversIn(BUILT)), 'all that is built is in it');
  t.strictSame(readdirSync(unpacked).sort(), ['LICENSE', 'LICENSES.txt', 'README.md', 'datastore', 'install']);
  t.match(readFileSync(join(unpacked, 'LICENSES.txt'), 'utf8'), /^shelljs [\s\S]*^yargs /m);
  const varDir = join(folder, 'var');
  makeStockVar(varDir);
  const before = snapshotOf(varDir);
  const install = [join(unpacked, 'install'), '--var', varDir];
  const installed = runPlain(install);
  t.equal(installed.code, 0, installed.stderr);
  const there = driversIn(join(varDir, 'remotes/datastore'));
  t.strictSame(
    driversIn(join(unpacked, 'datastore')).filter((line) => !there.includes(line)),
    [],
    'all is there',
  );
  t.equal(runPlain([...install, '--uninstall']).code, 0);
  t.strictSame(snapshotOf(varDir), before);
});

t.test('the Debian package', async (t) => {
  const bare = makeBareRoot(join(folder, 'root'));
  if (typeof bare === 'string') {
    t.pass(bare, { skip: true });
    return;
  }
  await t.test('on a bare system', (t) => onBareSystem(t, bare));
  await t.test('on a front-end', (t) => onFrontEnd(t, bare));
});

async function onBareSystem(t: Test, bare: BareRoot): Promise<void> {
  const { root } = bare;
  // dpkg writes here, and the times of folders are its own matter.
  const others = (): string[] =>
    snapshotOf(root)
      .filter((line) => !/^(\.|dev\/null|var\/lib\/dpkg(\/.*)?) /.test(line))
      .map((line) => line.replace(/^(\S+ 4\d{4} \S+) \d+/, '$1'));
  const before = others();

  const node = join(root, folderOf('node'), 'node');
  renameSync(node, `${node}.away`);
  const refused = bare.dpkg('--install', deb);
  t.not(refused.code, 0);
  t.match(
    refused.stderr,
    /opennebula-backup-drivers: this package needs Node 20 or newer on the PATH: install it first\./,
  );
  renameSync(`${node}.away`, node);
  t.strictSame(others(), before, 'without node, nothing is there');

  const installed = bare.dpkg('--install', deb);
  t.equal(installed.code, 0, installed.stderr);
  t.match(installed.stdout, /every script runs from there[\s\S]*This is what an oned\.conf needs:/);
  const varDir = join(root, 'var/lib/one');
  t.strictSame(driversIn(join(varDir, 'remotes/datastore')), driversIn(join(unpacked, 'datastore')));

  const ssh = await startSshWorld({ names: ['server'] });
  t.teardown(() => ssh.stop());
  cpSync(ssh.folder, join(root, ssh.folder), { recursive: true });
  cpSync(ssh.config, join(root, 'root/.ssh/config'));
  const message = `<DS_DRIVER_ACTION_DATA><DATASTORE><ID>100</ID><DS_MAD>restic</DS_MAD>
    <BASE_PATH>${folder}</BASE_PATH><TEMPLATE><RESTIC_SFTP_SERVER>server</RESTIC_SFTP_SERVER>
    <RESTIC_SFTP_USER>${userInfo().username}</RESTIC_SFTP_USER><RESTIC_PASSWORD>opensesame</RESTIC_PASSWORD>
    </TEMPLATE></DATASTORE></DS_DRIVER_ACTION_DATA>`;
  const call = ['/var/lib/one/remotes/datastore/restic/monitor', '100'];
  const monitor = bare.run(call, Buffer.from(message).toString('base64'));
  t.match(monitor, { code: 0, stderr: '', stdout: /^USED_MB=\d+\nTOTAL_MB=\d+\nFREE_MB=\d+\n$/ });
  rmSync(join(root, ssh.folder), { recursive: true });
  rmSync(join(root, 'root/.ssh/config'));

  t.equal(bare.dpkg('--remove', PACKAGE).code, 0);
  t.equal(existsSync(varDir), false);
  t.strictSame(others(), before);
}

async function onFrontEnd(t: Test, bare: BareRoot): Promise<void> {
  const varDir = join(bare.root, 'var/lib/one');
  makeStockVar(varDir);
  mkdirSync(join(bare.root, 'etc/one'));
  writeFileSync(join(bare.root, 'etc/one/oned.conf'), 'DATASTORE_MAD = [ ARGUMENTS = "-d fs" ]\n');
  const before = snapshotOf(varDir);
  const installed = bare.dpkg('--install', deb);
  t.equal(installed.code, 0, installed.stderr);
  t.match(installed.stdout, /^# in DATASTORE_MAD \(line 1\), ARGUMENTS becomes\n {4}ARGUMENTS {2}= "-d fs,restic/m);
  t.equal(bare.dpkg('--install', deb).code, 0, 'over itself, as an upgrade');
  const removed = bare.dpkg('--purge', PACKAGE);
  t.equal(removed.code, 0, removed.stderr);
  t.strictSame(snapshotOf(varDir), before);
  t.equal(existsSync(join(bare.root, 'usr/share', PACKAGE)), false);
}
