import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { type DiskHeader, readHeaders } from '../../../lib/command/qcow2-header';
import * as qemuImg from '../../../lib/command/qemu-img';
import { LocalHost } from '../../../lib/host/local';
import { type AbsolutePath, parseAbsolutePath } from '../../../lib/opennebula/ids';
import { failure } from '../../helpers/failure';

const MIB = 2 ** 20;
const folder = mkdtempSync(join(tmpdir(), 'one-backup-disks-'));
t.teardown(() => rmSync(folder, { recursive: true, force: true }));
const host = new LocalHost({
  env: process.env,
  signal: new AbortController().signal,
  supervision: { stallSeconds: 600, marker: undefined },
  trace: () => {},
});
const at = (name: string): AbsolutePath => parseAbsolutePath(join(folder, name), 'a path');
const tool = (name: 'qemu-img' | 'qemu-io', ...args: string[]) =>
  execFileSync(name, args, { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] });
const headers = (...names: string[]): Promise<DiskHeader[]> => host.run(readHeaders(names.map(at)));
const write = (name: string, format: string, ...commands: string[]) =>
  tool('qemu-io', '-f', format, ...commands.flatMap((command) => ['-c', command]), name);

t.test('headers: of what format a file is, how large its disk, and whether it is an increment', async (t) => {
  writeFileSync(join(folder, 'secret'), 'x'.repeat(8 * MIB)); // what a header names would show everywhere
  tool('qemu-img', 'create', '-f', 'qcow2', 'v3', '5M');
  tool('qemu-img', 'create', '-f', 'qcow2', '-o', 'compat=0.10', 'v2', '6M');
  tool('qemu-img', 'create', '-f', 'qcow2', '-o', 'cluster_size=4k,extended_l2=off', 'small', '7M');
  tool('qemu-img', 'create', '-f', 'qcow2', '-u', '-F', 'raw', '-b', '/nowhere/at-all', 'increment', '8M');
  tool(
    'qemu-img',
    'create',
    '-f',
    'qcow2',
    '-o',
    'compat=0.10',
    '-u',
    '-F',
    'raw',
    '-b',
    `${folder}/secret`,
    'v2inc',
    '9M',
  );
  tool('qemu-img', 'create', '-f', 'raw', 'raw', '3M');
  writeFileSync(join(folder, 'empty'), '');
  writeFileSync(join(folder, 'short'), 'QFI\xfb', 'latin1');
  writeFileSync(join(folder, 'zeros'), Buffer.alloc(80));
  writeFileSync(join(folder, "it's $HOME"), 'y');
  const all = ['v3', 'empty', 'v2', 'short', 'small', 'increment', 'v2inc', 'raw', 'zeros', "it's $HOME"];
  const form = (format: string, virtualSizeBytes: number, hasBacking = false) => ({
    format,
    virtualSizeBytes,
    hasBacking,
  });
  const expected = [
    form('qcow2', 5 * MIB),
    form('raw', 0),
    form('qcow2', 6 * MIB),
    form('raw', 4),
    form('qcow2', 7 * MIB),
    form('qcow2', 8 * MIB, true),
    form('qcow2', 9 * MIB, true),
    form('raw', 3 * MIB),
    form('raw', 80),
    form('raw', 1),
  ];
  t.strictSame(
    await headers(...all),
    all.map((name, index) => ({ path: at(name), ...expected[index] })),
  );
  for (const [index, name] of all.entries()) {
    t.strictSame(await headers(name), [{ path: at(name), ...expected[index] }], `${name} alone`);
  }
  await t.rejects(headers('v3', 'gone'), failure('failed'));
});

t.test('a disk that keeps its data in another file is refused', async (t) => {
  tool('qemu-img', 'create', '-f', 'qcow2', '-o', 'data_file=outside,data_file_raw=on', 'external', '5M');
  await t.rejects(headers('external'), failure('damaged', /external keeps its data in another file/));
  await t.rejects(headers('v3', 'external'), failure('damaged', /external keeps its data in another file/));
  await t.rejects(host.run(qemuImg.info(at('external'))), failure('damaged', /keeps its data in another file/));
});

/** A base and two increments whose headers name files that have nothing to do with them, and the disk that they are. */
function makeChain(format: 'qcow2' | 'raw', compat = '1.1'): readonly [DiskHeader, ...DiskHeader[]] {
  const options = format === 'qcow2' ? ['-o', `compat=${compat}`] : [];
  tool('qemu-img', 'create', '-f', format, ...options, 'base', '4M');
  write('base', format, 'write -P 1 0 2M');
  tool('qemu-img', 'create', '-f', 'raw', 'truth', '4M');
  write(
    'truth',
    'raw',
    'write -P 1 0 2M',
    'write -P 2 1M 64k',
    'write -P 3 3M 64k',
    'write -P 4 0 64k',
    'write -z 64k 64k',
  );
  for (const [name, commands] of [
    ['first', ['write -P 2 1M 64k', 'write -P 3 3M 64k', 'write -P 9 0 64k']],
    ['second', ['write -P 4 0 64k', 'write -z 64k 64k']],
  ] as const) {
    tool('qemu-img', 'create', '-f', 'qcow2', '-o', `compat=${compat}`, name, '4M');
    write(name, 'qcow2', ...commands);
    tool('qemu-img', 'rebase', '-u', '-f', 'qcow2', '-F', 'raw', '-b', `${folder}/secret`, name);
  }
  const disk = (name: string, as: 'qcow2' | 'raw'): DiskHeader => ({
    ...{ path: at(name), format: as, virtualSizeBytes: 4 * MIB, hasBacking: as === 'qcow2' && name !== 'base' },
  });
  return [disk('base', format), disk('first', 'qcow2'), disk('second', 'qcow2')];
}

t.test('a chain is what its files hold, whatever their headers name', async (t) => {
  for (const [format, compat] of [
    ['qcow2', '1.1'],
    ['raw', '1.1'],
  ] as const) {
    const chain = makeChain(format, compat);
    const named = qemuImg.chainOf(chain);
    await host.run(qemuImg.convert(named, at('merged')));
    await host.run(qemuImg.compare(named, { path: at('truth'), format: 'raw' }));
    await host.run(qemuImg.compare(named, { path: at('merged'), format: 'qcow2' }));
    t.strictSame((await headers('merged'))[0], {
      ...{ path: at('merged'), format: 'qcow2' },
      virtualSizeBytes: 4 * MIB,
      hasBacking: false,
    });
    const [base] = chain;
    const alone = host.run(qemuImg.compare(qemuImg.chainOf([base]), { path: at('truth'), format: 'raw' }));
    await t.rejects(alone, failure('damaged', /truth is not what its chain shows/), 'and the increments count');
    rmSync(join(folder, 'merged'));
  }
});

t.test('a full backup whose header names a file is read without it', async (t) => {
  const [base, ...increments] = makeChain('qcow2');
  tool('qemu-img', 'rebase', '-u', '-f', 'qcow2', '-F', 'raw', '-b', `${folder}/secret`, 'base');
  const [found] = await headers('base');
  t.equal(found?.hasBacking, true);
  await host.run(qemuImg.compare(qemuImg.chainOf([base, ...increments]), { path: at('truth'), format: 'raw' }));
});

t.test('names that mean something to qemu are files', async () => {
  for (const name of ['nbd:localhost:1', 'json:{}', 'a,b=c', 'driver=raw', 'ä "b"\\', '%s']) {
    copyFileSync(join(folder, 'truth'), join(folder, name));
    const disk = { path: at(name), format: 'raw' as const };
    await host.run(qemuImg.compare(qemuImg.chainOf([disk]), { path: at('truth'), format: 'raw' }));
    rmSync(join(folder, name));
  }
});

t.test('damage is found by a check, where a chain would only show other data', async (t) => {
  makeChain('qcow2');
  await host.run(qemuImg.check(at('base')));
  truncateSync(join(folder, 'base'), 200_000);
  await t.rejects(host.run(qemuImg.check(at('base'))), failure('damaged', /base is damaged/));
});

t.test('a disk that is made smaller and grows again shows nothing of what it was', async (t) => {
  for (const [small, old] of [
    [100_352, MIB],
    [65_536, MIB],
    [100_352, 100_864],
  ] as const) {
    rmSync(join(folder, 'resized'), { force: true });
    tool('qemu-img', 'create', '-f', 'qcow2', 'resized', String(old));
    write('resized', 'qcow2', `write -P 7 0 ${old}`);
    const tail = qemuImg.zeroTail(at('resized'), small, old);
    t.equal(tail === undefined, small % 65_536 === 0);
    if (tail !== undefined) await host.run(tail);
    await host.run(qemuImg.resize(at('resized'), small, 'smaller'));
    await host.run(qemuImg.resize(at('resized'), 2 * MIB, 'larger'));
    write('resized', 'qcow2', `read -P 7 0 ${small}`, `read -P 0 ${small} ${2 * MIB - small}`);
  }
});
