import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  cpSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { BackedUpVm } from '../helpers/backed-up-vm';
import { difference } from '../helpers/disk';
import { type Ended, type FrontEndWorld, startFrontEnd } from '../helpers/front-end';
import type { MessageName } from '../helpers/messages';
import { emptied, failsWith, mountSmall, names } from './storage';

let world: FrontEndWorld;
let vm: BackedUpVm;
let pristine: string;

const isRoot = process.getuid?.() === 0;
const skip = isRoot ? false : 'only root can mount a small filesystem to fill';
const folder = (): string => world.repository(1);
const refresh = (): void => {
  rmSync(world.datastore, { recursive: true, force: true });
  cpSync(pristine, world.datastore, { recursive: true, preserveTimestamps: true });
};
const of = (increment: number, ...path: string[]): string =>
  join(folder(), vm.chain[increment]?.source as string, ...path);
const image = (name: MessageName): string => world.imageMessage(name, 1, vm.chain);
const flatten = (): Promise<Ended> => world.run('rsync/increment_flatten', ['6'], image('increment_flatten'));
const rm = (): Promise<Ended> => world.run('rsync/rm', ['6'], image('rm-increments'));
const stream = (url: string): Promise<Ended> => world.run(world.downloader, ['--stream', url], '');

/** Every file of the datastore: what it is, how old, and what it holds. */
function fingerprint(): string[] {
  return (readdirSync(world.datastore, { recursive: true, encoding: 'utf8' }) as string[]).sort().map((name) => {
    const path = join(world.datastore, name);
    const { ino, mtimeMs, mode, size } = lstatSync(path);
    const content = lstatSync(path).isFile() ? createHash('sha256').update(readFileSync(path)).digest('hex') : '';
    return `${name} ${mode.toString(8)} ${lstatSync(path).isFile() ? `${ino} ${mtimeMs} ${size} ${content}` : ''}`;
  });
}

/** Downloads both disks at a point of a chain, and compares them with what they were. */
async function isExact(t: Test, chain: BackedUpVm['chain'], increment: number, comment: string): Promise<void> {
  for (const [index, disk] of vm.disks.entries()) {
    const point = chain.filter(({ id }) => id <= increment);
    const { code, stdout, stderr } = await stream(world.url(1, point, `disk.${index}.${increment}`));
    const file = join(world.folder, 'downloaded');
    writeFileSync(file, Buffer.from(stdout, 'latin1'));
    const differs = code === 0 ? difference(file, disk.at(String(increment))) : stderr;
    t.equal(differs, undefined, `${comment}: disk ${index} at ${increment}`);
  }
}

/** The chain in the answer of a flatten. */
function chainOf({ stdout }: Ended): BackedUpVm['chain'] {
  const pairs = (stdout.trim().split(' ')[1] ?? '').split(',').map((pair) => pair.split(':'));
  return pairs.map(([id, source = '']) => ({ id: Number(id), source }));
}

t.before(async () => {
  world = await startFrontEnd({ driver: 'rsync' });
  vm = new BackedUpVm(world, 1, { diskBytes: 32 * 2 ** 20, clusters: 160 });
  for (let increment = 0; increment < 4; increment++) await vm.backUp();
  pristine = join(world.folder, 'pristine');
  cpSync(world.datastore, pristine, { recursive: true, preserveTimestamps: true });
  world.serveDatastore();
});
t.teardown(() => world.stop());

t.test('a flatten changes no file of the old chain, and the new one is exact', async (t) => {
  refresh();
  const before = fingerprint().filter((line) => /disk\.|vm\.xml|manifest/.test(line));
  const seen = new Set<string>();
  const running = world.start('rsync/increment_flatten', ['6'], image('increment_flatten'));
  let over = false;
  void running.ended.then(() => {
    over = true;
  });
  // What is there of the old chain is what it was, for as long as it is there. KEEP_LAST is 2.
  while (!over) {
    for (const line of before) {
      const path = join(world.datastore, line.split(' ')[0] as string);
      try {
        const { ino, mtimeMs, size } = lstatSync(path);
        if (!line.includes(`${ino} ${mtimeMs} ${size} `)) seen.add(path);
      } catch {
        // it has gone, as it should once the merged one is there
      }
    }
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  const ended = await running.ended;
  t.equal(ended.code, 0, ended.stderr);
  t.strictSame([...seen], [], 'no file was changed');
  const chain = chainOf(ended);
  t.strictSame(
    chain.map(({ id }) => id),
    [2, 3],
  );
  const kept = fingerprint().filter((line) => line.includes(`/${chain[1]?.source}/`));
  t.strictSame(
    kept,
    before.filter((line) => line.includes(`/${chain[1]?.source}/`)),
    'what is kept is the same file',
  );
  const listed = await world.run('rsync/ls', ['-i', '2'], world.imageMessage('ls-i2', 1, chain));
  const urls = JSON.parse(listed.stdout) as Record<string, string>;
  t.match(urls['0'], new RegExp(`/${chain[0]?.source}/disk\\.0\\.2$`), 'the oldest increment has its own disk');
  for (const increment of [2, 3]) await isExact(t, chain, increment, 'new chain');
  await isExact(t, vm.chain, 3, 'old chain');
});

t.test('a base that is raw, of an old version, or names a file, as other drivers may have left it', async (t) => {
  const base = (): string => of(0, 'disk.0.0');
  const convert = (...options: string[]): void => {
    execFileSync('qemu-img', ['convert', '-O', ...options, base(), `${base()}.new`]);
    renameSync(`${base()}.new`, base());
  };
  const spoils: Record<string, () => void> = {
    raw: () => convert('raw'),
    'compat=0.10': () => convert('qcow2', '-o', 'compat=0.10'),
    'a backing file in its header': () =>
      execFileSync('qemu-img', ['rebase', '-u', '-f', 'qcow2', '-F', 'raw', '-b', '/etc/passwd', base()]),
  };
  for (const [name, spoil] of Object.entries(spoils)) {
    refresh();
    spoil();
    rmSync(of(0, 'manifest.json')); // the stock driver wrote none
    await isExact(t, vm.chain, 3, name);
    const ended = await flatten();
    t.equal(ended.code, 0, `${name}: ${ended.stderr}`);
    for (const increment of [2, 3]) await isExact(t, chainOf(ended), increment, `${name}, flattened`);
    t.equal(world.traits.damage(folder(), {}), undefined, name);
  }
});

t.test('an increment that is damaged or cut off is an error, and changes nothing', async (t) => {
  const path = (): string => of(1, 'disk.0.1');
  const spoils: Record<string, () => void> = {
    'cut off in its data': () => truncateSync(path(), lstatSync(path()).size - 70_000),
    'cut off in its tables': () => truncateSync(path(), 66_000),
    'no qcow2 any more': () => writeFileSync(path(), Buffer.alloc(lstatSync(path()).size, 'x')),
    empty: () => truncateSync(path(), 0),
    'with its data elsewhere': () => {
      rmSync(path());
      const options = `data_file=${join(world.folder, 'outside')},data_file_raw=on`;
      execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', '-o', options, path(), '32M']);
    },
  };
  for (const [name, spoil] of Object.entries(spoils)) {
    refresh();
    spoil();
    const before = fingerprint();
    const ended = await flatten();
    t.equal(ended.stdout, '', name);
    failsWith(t, ended, 'damaged', /disk\.0\.1|backup \w+ of VM 1/, `flatten, ${name}`);
    t.strictSame(fingerprint(), before, `${name}: nothing changed`);
    failsWith(t, await stream(vm.url(0)), 'damaged', /disk\.0\.1|backup \w+ of VM 1/, `download, ${name}`);
    t.strictSame(await emptied(world.temporary), [], name);
  }
  refresh();
  rmSync(of(1), { recursive: true });
  const before = fingerprint();
  failsWith(t, await flatten(), 'notFound', /increment 1 of VM 1 is gone/, 'flatten');
  failsWith(t, await stream(vm.url(0)), 'notFound', /increment 1 of VM 1 is gone/, 'download');
  t.strictSame(fingerprint(), before, 'nothing changed');
});

t.test('a manifest that cannot be read', async (t) => {
  refresh();
  writeFileSync(of(1, 'manifest.json'), '{"version":1,');
  const before = fingerprint();
  failsWith(t, await flatten(), 'damaged', /manifest\.json is no manifest/, 'flatten');
  await isExact(t, vm.chain, 2, 'a disk needs no manifest');
  t.strictSame(fingerprint(), before, 'nothing changed');
  const removed = await rm();
  t.strictSame([removed.code, names(folder())], [0, []], 'a removal succeeds all the same');
});

t.test('what is lost beside a disk concerns only those who need it', async (t) => {
  refresh();
  for (const name of ['vm.xml', 'disk.1.2']) rmSync(of(2, name));
  await world
    .run('rsync/ls', ['-i', '2'], image('ls-i2'))
    .then((ended) => failsWith(t, ended, 'damaged', /disk\.1\.2/, 'ls'));
  const url = world.url(1, vm.chain.slice(0, 3), 'disk.0.2');
  t.equal((await stream(url)).code, 0, 'the other disk');
  failsWith(t, await stream(url.replace(/disk\.0\.2$/, 'disk.1.2')), 'damaged', /disk\.1\.2/, 'the disk');
  refresh();
  rmSync(of(2, 'vm.xml'));
  const listed = await world.run('rsync/ls', ['-i', '2'], image('ls-i2'));
  t.match(JSON.parse(listed.stdout), { 0: /disk\.0\.2$/, 1: /disk\.1\.2$/ }, 'ls needs no vm.xml');
});

t.test('a full filesystem where disks are merged', { skip }, async (t) => {
  refresh();
  await mountSmall(t, world.temporary, '4m');
  const ended = await stream(vm.url(0));
  t.equal(ended.stdout, '', 'not a byte of a disk that is not complete');
  failsWith(t, ended, 'noSpace', /full|no space/i, 'download');
  t.strictSame(await emptied(world.temporary), [], 'nothing stays');
});

t.test('a full filesystem on the server', { skip }, async (t) => {
  rmSync(world.datastore, { recursive: true });
  mkdirSync(world.datastore);
  await mountSmall(t, world.datastore, '32m');
  cpSync(pristine, world.datastore, { recursive: true });
  const before = fingerprint();
  const other = new BackedUpVm(world, 1, { diskBytes: 64 * 2 ** 20, clusters: 500 });
  other.stage(0);
  const backup = await world.run('rsync/backup', ...other.call(0));
  t.equal(backup.stdout, '');
  failsWith(t, backup, 'noSpace', /no space|full/i, 'backup');
  t.strictSame(fingerprint(), before, 'nothing of it stays');
  const free = Number(execFileSync('stat', ['-f', '-c', '%a', world.datastore])) * 4096;
  execFileSync('fallocate', ['-l', String(free - 2_000_000), join(world.datastore, 'filler')]);
  const full = fingerprint();
  const flattened = await flatten();
  t.equal(flattened.stdout, '');
  failsWith(t, flattened, 'noSpace', /full|no space/i, 'flatten');
  t.strictSame(fingerprint(), full, 'nothing changed');
  for (const increment of [1, 3]) await isExact(t, vm.chain, increment, 'what was there');
  t.equal((await rm()).code, 0, 'a removal needs no space');
  t.strictSame(names(folder()), []);
});
