import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, readlinkSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { TarFolder } from '../../../lib/control/tar-folder';
import { type AbsolutePath, joinPath } from '../../../lib/opennebula/ids';
import { failure } from '../../helpers/failure';

/** Unpacks an archive that comes in pieces of that size. */
async function unpack(root: AbsolutePath, archive: Buffer, piece = 10_007): Promise<TarFolder> {
  const unpacked = new TarFolder(root);
  await unpacked.fill(async (output) => {
    for (let at = 0; at < archive.length; at += piece)
      await new Promise((resolve) => output.write(archive.subarray(at, at + piece), resolve));
  });
  return unpacked;
}

/** A header as a hostile guest would like it. */
function header(name: string, type: string, target = '', size = 0): Buffer {
  const block = Buffer.alloc(512);
  const fields: [number, string][] = [
    [0, name],
    [100, '0000777'],
    [124, size.toString(8).padStart(11, '0')],
    [136, '00000000000'],
    [148, ' '.repeat(8)],
    [156, type],
    [157, target],
    [257, 'ustar  '],
  ];
  for (const [at, text] of fields) block.write(text, at, 'latin1');
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return block;
}

const END = Buffer.alloc(1024);

t.test('what GNU tar packs, in both of its forms', async (t) => {
  const source = t.testdir({ from: {} });
  const from = join(source, 'from');
  const long = `${'long name '.repeat(20)}`.trim();
  mkdirSync(join(from, 'a', long), { recursive: true });
  writeFileSync(join(from, 'a', long, long), 'deep');
  writeFileSync(join(from, 'empty'), '');
  writeFileSync(join(from, 'half.block'), Buffer.alloc(700, 'x'), { mode: 0o750 });
  writeFileSync(Buffer.from(`${from}/\xe9 "it's"\nnew`, 'latin1'), 'strange');
  execFileSync('truncate', ['-s', '3M', join(from, 'sparse')]);
  execFileSync('ln', ['-s', '/etc/passwd', join(from, 'away')]);
  execFileSync('ln', ['-s', long.repeat(3), join(from, 'far')]);
  execFileSync('ln', [join(from, 'half.block'), join(from, 'same')]);
  execFileSync('mkfifo', [join(from, 'pipe')]);
  execFileSync('chmod', ['6755', join(from, 'half.block')]);
  execFileSync('touch', ['-d', '@1700000000', join(from, 'empty'), join(from, 'a')]);
  for (const form of ['gnu', 'posix', 'ustar']) {
    const names = form === 'ustar' ? ['./half.block', './empty'] : ['.'];
    const archive = execFileSync('tar', ['-C', from, `--format=${form}`, '-cf', '-', ...names], { maxBuffer: 2 ** 26 });
    const to = join(source, form) as AbsolutePath;
    const unpacked = await unpack(to, archive, form === 'gnu' ? 511 : 100_000);
    t.equal(readFileSync(join(to, 'half.block'), 'latin1'), 'x'.repeat(700));
    t.equal(statSync(join(to, 'half.block')).mode & 0o7000, 0, 'no set-id bit');
    t.equal(statSync(join(to, 'empty')).mtimeMs, 1_700_000_000_000);
    if (form === 'ustar') continue;
    t.strictSame(
      readdirSync(to, 'latin1').sort(),
      readdirSync(from, 'latin1')
        .filter((name) => name !== 'pipe')
        .sort(),
    );
    t.equal(readFileSync(join(to, 'a', long, long), 'utf8'), 'deep');
    t.equal(statSync(join(to, 'a')).mtimeMs, 1_700_000_000_000);
    t.equal(statSync(join(to, 'sparse')).size, 3 * 2 ** 20);
    if (form === 'posix') t.ok(statSync(join(to, 'sparse')).blocks * 512 < 2 ** 20, 'zeros take no room');
    t.equal(readlinkSync(join(to, 'away')), '/etc/passwd', 'a link is copied as one');
    t.equal(readlinkSync(join(to, 'far')), long.repeat(3));
    t.equal(statSync(join(to, 'same')).ino, statSync(join(to, 'half.block')).ino);
    t.equal(unpacked.skipped, 1, 'the pipe');
  }
});

const HOSTILE: readonly [what: string, archive: Buffer][] = [
  ['a name that leads out', Buffer.concat([header('../out', '0', '', 0)])],
  ['an absolute name', Buffer.concat([header('/out/x', '0')])],
  ['a file through a link', Buffer.concat([header('dir', '2', '..'), header('dir/out', '0')])],
  [
    'a link in place of a folder',
    Buffer.concat([header('dir/', '5'), header('dir', '2', '..'), header('dir/out', '0')]),
  ],
  ['a file over a link', Buffer.concat([header('out', '2', '../out'), header('out', '0', '', 3), pad('bad')])],
  ['a folder through a link', Buffer.concat([header('dir', '2', '..'), header('dir/out/', '5')])],
  ['a form that nobody writes', Buffer.concat([header('out', 'S')])],
  ['no archive', Buffer.alloc(512, 'x')],
];

function pad(text: string): Buffer {
  return Buffer.concat([Buffer.from(text)], 512);
}

t.test('what a hostile guest packs', async (t) => {
  for (const [what, archive] of HOSTILE) {
    const folder = t.testdir() as AbsolutePath;
    await t.rejects(unpack(joinPath(folder, 'to'), Buffer.concat([archive, END])), { name: 'DriverError' }, what);
    t.notOk(existsSync(join(folder, 'out')), what);
  }
  const folder = t.testdir() as AbsolutePath;
  writeFileSync(join(folder, 'secret'), 'secret');
  const archive = Buffer.concat([header('got', '1', '../secret'), END]);
  await t.rejects(unpack(joinPath(folder, 'to'), archive), /holds "\.\.\/secret"/, 'a hard link to what is not of it');
  const unpacked = await unpack(joinPath(folder, 'two'), Buffer.concat([header('got', '1', 'secret'), END]));
  t.equal(unpacked.skipped, 1);
  t.strictSame(readdirSync(join(folder, 'two')), []);
});

t.test('an archive that ends too early, and one in the way', async (t) => {
  const folder = t.testdir() as AbsolutePath;
  const archive = Buffer.concat([header('file', '0', '', 2000), Buffer.alloc(1000, 'x')]);
  await t.rejects(unpack(joinPath(folder, 'cut'), archive), failure('failed', /ended too early/));
  mkdirSync(join(folder, 'there'));
  await t.rejects(unpack(joinPath(folder, 'there'), END), failure('failed', /EEXIST/));
});
