import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { BackedUpVm } from '../helpers/backed-up-vm';
import { difference } from '../helpers/disk';
import { type Ended, startFrontEnd } from '../helpers/front-end';
import type { MessageName } from '../helpers/messages';
import { failsWith, names as namesIn } from './storage';

/** Names that a shell, rsync or ssh could take for something else; TRAP is a file that nobody may make. */
const NAMES = [
  'disk.a b',
  "disk.it's",
  'disk."',
  'disk.$(touch TRAP)',
  'disk.`touch TRAP`',
  'disk.;touch TRAP',
  'disk.*',
  'disk.[0]',
  'disk.{a,b}',
  'disk.\\',
  'disk.server:x',
  'disk.#',
  'disk.\u00e4',
  'disk.-e',
  'disk.0.0:5',
  'disk. ',
  `disk.${'x'.repeat(240)}`,
];

t.test('whatever the files of a staging folder are called, they are stored as they are', async (t) => {
  const world = await startFrontEnd({ driver: 'rsync' });
  t.teardown(() => world.stop());
  const vm = new BackedUpVm(world, 1, { disks: 1 });
  vm.stage(0);
  const trap = 'one-backup-trap';
  const names = NAMES.map((name) => name.replaceAll('TRAP', trap));
  for (const name of names) writeFileSync(join(vm.staging, name), name);
  for (const name of ['-rf', '--rsh=x', 'other', '.hidden']) writeFileSync(join(vm.staging, name), 'not wanted');
  const { code, stdout, stderr } = await world.run('rsync/backup', ...vm.call(0));
  t.equal(code, 0, stderr);
  const folder = join(world.repository(1), stdout.split(' ')[0] ?? '');
  const expected = ['disk.0.0', 'manifest.json', 'vm.xml', ...names].sort();
  t.strictSame(readdirSync(folder).sort(), expected, 'disks and vm.xml, and nothing else');
  for (const name of names) t.equal(readFileSync(join(folder, name), 'utf8'), name, name);
  t.equal(world.traits.damage(world.repository(1), {}), undefined, 'each checksum is that of its file');
  const traps = [vm.staging, folder, world.ssh.home, world.varDir, world.repository(1), '/', process.cwd()];
  t.strictSame(
    traps.filter((place) => existsSync(join(place, trap))),
    [],
    'nothing was executed',
  );
});

t.test('a name with a line break', async (t) => {
  const world = await startFrontEnd({ driver: 'rsync' });
  t.teardown(() => world.stop());
  const vm = new BackedUpVm(world, 1, { disks: 1 });
  vm.stage(0);
  writeFileSync(join(vm.staging, 'disk.\nx'), 'y');
  const { code, stdout, stderr } = await world.run('rsync/backup', ...vm.call(0));
  t.comment(`${code} ${stderr}`);
  const { stored, leftovers, damage } = world.traits;
  if (code === 0) t.equal(damage(world.repository(1), {}), undefined, 'is stored as it is');
  else t.strictSame([stdout, stored(world.repository(1)), leftovers(world.repository(1))], ['', [], []], 'or refused');
});

/** A VM with a chain of four on a server of its own, and the actions about it. */
async function makeBed(t: Test) {
  const world = await startFrontEnd({ driver: 'rsync' });
  t.teardown(() => world.stop());
  world.serveDatastore();
  const vm = new BackedUpVm(world, 1);
  for (let increment = 0; increment < 4; increment++) await vm.backUp();
  vm.stage(4);
  const image = (name: MessageName): string => world.imageMessage(name, 1, vm.chain);
  return {
    ...{ world, vm, folder: world.repository(1) },
    of: (increment: number, ...path: string[]): string =>
      join(world.repository(1), vm.chain[increment]?.source as string, ...path),
    backup: () => world.run('rsync/backup', ...vm.call(4)),
    ls: () => world.run('rsync/ls', ['-i', '-1'], image('ls-i2')),
    flatten: () => world.run('rsync/increment_flatten', ['6'], image('increment_flatten')),
    rm: () => world.run('rsync/rm', ['6'], image('rm-increments')),
    stream: (url: string): Promise<Ended> => world.run(world.downloader, ['--stream', url], ''),
  };
}

t.test('a place that is not what it should be', async (t) => {
  const { world, folder, backup, ls, flatten, rm } = await makeBed(t);
  const pristine = join(world.folder, 'pristine');
  renameSync(world.datastore, pristine);
  writeFileSync(world.datastore, 'a file');
  for (const [name, action] of Object.entries({ backup, ls, flatten, rm })) {
    const { code, stdout, stderr } = await action();
    t.notOk(code === 0 && name !== 'rm', `${name} in a file: ${stderr}`);
    t.equal(stdout, '', name);
  }
  t.equal(readFileSync(world.datastore, 'utf8'), 'a file');
  rmSync(world.datastore);

  cpSync(pristine, world.datastore, { recursive: true });
  const elsewhere = join(world.folder, 'elsewhere');
  renameSync(folder, elsewhere);
  symlinkSync(elsewhere, folder);
  const stored = await backup();
  t.equal(stored.code, 0, stored.stderr);
  t.ok(namesIn(elsewhere).includes(stored.stdout.split(' ')[0] as string), 'a link to a folder is that folder');
  t.equal((await rm()).code, 0);
  t.strictSame(namesIn(elsewhere), [stored.stdout.split(' ')[0]], 'and nothing else goes');
  rmSync(elsewhere, { recursive: true });
});

t.test('what is not a backup of the chain is neither read nor removed', async (t) => {
  const { world, vm, folder, of, ls, rm, stream } = await makeBed(t);
  cpSync(world.datastore, join(world.folder, 'pristine'), { recursive: true });
  const outside = join(world.folder, 'outside-folder');
  cpSync(of(1), outside, { recursive: true });
  rmSync(of(1), { recursive: true });
  symlinkSync(outside, of(1));
  const trap = join(world.folder, 'trap');
  writeFileSync(trap, 'x');
  symlinkSync(trap, of(3, 'disk.7.3'));
  mkdirSync(join(folder, 'stray'));
  symlinkSync(world.folder, join(folder, '.removing-link'));
  symlinkSync(world.folder, join(folder, '.receiving-link'));
  writeFileSync(join(folder, '.merging-file'), 'x');
  failsWith(t, await stream(vm.url(0)), 'notFound', /increment 1 of VM 1 is gone/, 'a link is no backup');
  failsWith(t, await stream(world.url(1, vm.chain.slice(3), 'disk.7.3')), 'notFound', /holds no disk 7/, 'nor a disk');
  t.notMatch((await ls()).stdout, /disk\.7/);
  const removed = await rm();
  t.equal(removed.code, 0, removed.stderr);
  t.strictSame([namesIn(outside).length > 0, readFileSync(trap, 'utf8')], [true, 'x'], 'what links name stays');
  t.ok(namesIn(folder).includes('stray'), 'as does what nobody knows');
  rmSync(world.datastore, { recursive: true });
  renameSync(join(world.folder, 'pristine'), world.datastore);
  const other = world.url(1, vm.chain, 'disk.0.3').replace('/100/1/', '/100/2/');
  failsWith(t, await stream(other), 'notFound', /of VM 2 is gone/, 'the chain of another VM');
  const lost = world.url(1, vm.chain, 'disk.0.3').replace(/\/tmp\/.*\/100\//, '/etc/');
  const { code, stdout } = await stream(lost);
  writeFileSync(join(world.folder, 'downloaded'), Buffer.from(stdout, 'latin1'));
  const same = difference(join(world.folder, 'downloaded'), vm.disks[0]?.at('3') as string);
  t.strictSame([code, same], [0, undefined], 'where the datastore is says oned, not the URL');
});
