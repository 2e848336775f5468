import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { BackedUpVm } from '../helpers/backed-up-vm';
import { difference } from '../helpers/disk';
import { type FrontEndWorld, startFrontEnd } from '../helpers/front-end';
import { type MessageName, withText } from '../helpers/messages';
import { emptied, failsWith, mountSmall, names } from './storage';

const NEW_RESTIC = join(__dirname, '..', '..', 'node_modules', '.cache', 'restic-new');
/** 1 kB with every printable character of ASCII, and some beyond. */
const LONG_PASSWORD = `${Array.from({ length: 95 }, (_, n) => String.fromCharCode(32 + n)).join('')}äß密`
  .repeat(11)
  .slice(0, 1024);

interface Place {
  readonly world: FrontEndWorld;
  readonly vm: BackedUpVm;
  /** The repository as it was made, for each test to spoil a copy of its own. */
  readonly pristine: string;
}

async function startPlace(t: Test, restic?: string): Promise<Place> {
  // restic 0.18 now and then hangs when the server is full; that must not take the default of ten minutes.
  const attributes = { RESTIC_STALL_LIMIT: '30' };
  const world = await startFrontEnd({ attributes, ...(restic === undefined ? {} : { programs: restic }) });
  t.teardown(() => world.stop());
  const vm = new BackedUpVm(world, 1, { diskBytes: 32 * 2 ** 20, clusters: 160 });
  for (let increment = 0; increment < 3; increment++) await vm.backUp();
  const pristine = join(world.folder, 'pristine');
  cpSync(world.repository(1), pristine, { recursive: true });
  world.serveDatastore();
  return { world, vm, pristine };
}

function refresh({ world, pristine }: Place): void {
  rmSync(world.repository(1), { recursive: true, force: true });
  cpSync(pristine, world.repository(1), { recursive: true });
}

function image(
  { world, vm }: Place,
  name: MessageName,
  edit?: (text: string) => string,
  chain: BackedUpVm['chain'] = vm.chain,
): string {
  return world.imageMessage(name, vm.id, chain, edit);
}

/** Spoils the largest pack: it holds data of disks, not the trees that list them. */
function damage({ world }: Place, spoil: (content: Buffer) => Buffer): void {
  const data = join(world.repository(1), 'data');
  const packs = names(data).flatMap((folder) => names(join(data, folder)).map((name) => join(data, folder, name)));
  const [largest] = packs.sort((a, b) => statSync(b).size - statSync(a).size);
  writeFileSync(`${largest}.spoilt`, spoil(readFileSync(largest as string)));
  execFileSync('mv', ['-f', `${largest}.spoilt`, largest as string]);
}

for (const [version, restic] of [
  ['of Debian 12', undefined],
  ['of today', NEW_RESTIC],
] as const) {
  t.test(`restic ${version}`, async (t) => {
    const place = await startPlace(t, restic);
    const { world, vm } = place;
    const actions: [string, string[], string][] = [
      ['ls', ['-i', '-1'], 'ls-i2'],
      ['restore', ['2'], 'restore-increment-named'],
      ['rm', ['6'], 'rm-increments'],
      ['increment_flatten', ['6'], 'increment_flatten'],
    ];

    t.test('a wrong password', async (t) => {
      const wrong = (text: string): string => withText(text, 'DATASTORE', 'RESTIC_PASSWORD', 'wr0ng');
      const before = execFileSync('find', [world.repository(1), '-type', 'f']).toString();
      const says = /RESTIC_PASSWORD does not open repository .* onedatastore update 100\.$/;
      for (const [action, args, name] of actions) {
        const edit = (text: string): string => wrong(text).replace(/<INCREMENT_ID>.*?<\/INCREMENT_ID>/, '');
        const ended = await world.run(`restic/${action}`, args, image(place, name as MessageName, edit));
        t.equal(ended.stdout, '', action);
        failsWith(t, ended, 'password', says, action);
      }
      vm.stage(3);
      const [args, stdin] = vm.call(3);
      failsWith(t, await world.run('restic/backup', args, wrong(stdin)), 'password', says, 'backup');
      t.equal(execFileSync('find', [world.repository(1), '-type', 'f']).toString(), before, 'nothing changed');
    });

    t.test('a repository that is damaged in one pack', async (t) => {
      const spoils: [string, (content: Buffer) => Buffer][] = [
        [
          'a byte flipped',
          (content) => {
            content[content.length >> 1] = (content[content.length >> 1] as number) ^ 0xff;
            return content;
          },
        ],
        // restic 0.14 tries a truncated pack for 44 s, which only one version needs to be waited for.
        ...(restic === undefined ? [] : ([['cut off', (content) => content.subarray(0, 1000)]] as typeof spoils)),
      ];
      for (const [name, spoil] of spoils) {
        refresh(place);
        damage(place, spoil);
        const listed = await world.run('restic/ls', ['-i', '-1'], image(place, 'ls-i2'));
        t.equal(listed.code, 0, `${name}: ls needs no data; ${listed.stderr}`);
        const before = names(join(world.repository(1), 'snapshots'));
        const calls = world.oned.calls.length;
        for (const url of [vm.url(0, 0), vm.url(0)]) {
          const other = url.replace('disk.0.', 'disk.1.');
          const ended = [url, other].map((one) => world.run('restic_downloader.rb', ['--stream', one], ''));
          const failed = (await Promise.all(ended)).filter(({ code }) => code !== 0);
          t.ok(failed.length > 0, `${name}: the damage is found`);
          for (const one of failed) failsWith(t, one, 'damaged', /damaged/, `${name}: download`);
        }
        const flattened = await world.run('restic/increment_flatten', ['6'], image(place, 'increment_flatten'));
        t.equal(flattened.stdout, '', name);
        failsWith(t, flattened, 'damaged', /damaged/, `${name}: flatten`);
        t.strictSame(names(join(world.repository(1), 'snapshots')), before, `${name}: all snapshots stay`);
        const made = world.oned.calls.slice(calls).filter(({ method }) => method !== 'one.datastore.info');
        t.strictSame(made, [], `${name}: nothing was registered`);
        t.strictSame(await emptied(world.temporary), [], `${name}: nothing stays`);
      }
      refresh(place);
    });

    t.test('a repository whose config is gone or empty', async (t) => {
      const snapshots = (): string[] => names(join(world.repository(1), 'snapshots'));
      refresh(place);
      const before = snapshots();
      rmSync(join(world.repository(1), 'config'));
      const headless = await world.run('restic/rm', ['6'], image(place, 'rm-increments'));
      failsWith(
        t,
        headless,
        'damaged',
        /holds snapshots but no config, .*Put the file "config" back/,
        'rm forgets nothing',
      );
      t.strictSame(snapshots(), before);

      refresh(place);
      writeFileSync(join(world.repository(1), 'config'), '');
      for (const [action, args, name] of actions) {
        const ended = await world.run(`restic/${action}`, args, image(place, name as MessageName));
        t.equal(ended.stdout, '', action);
        failsWith(t, ended, 'damaged', /is damaged: /, `${action}: an empty config`);
        t.notMatch(ended.stderr, /\.s:[0-9]|\.go:[0-9]/, 'no trace of a Go program');
      }
      t.strictSame(snapshots(), before);
      rmSync(world.repository(1), { recursive: true });
      const gone = await world.run('restic/rm', ['6'], image(place, 'rm-increments'));
      t.same([gone.code, gone.stderr], [0, ''], 'nothing at all is nothing to remove');
      refresh(place);
    });

    const skip = process.getuid?.() === 0 ? false : 'only root can mount a small filesystem to fill';
    t.test('a full filesystem where disks are merged', { skip }, async (t) => {
      refresh(place);
      await mountSmall(t, world.temporary, '4m');
      const ended = await world.run('restic_downloader.rb', ['--stream', vm.url(0)], '');
      t.equal(ended.stdout, '', 'not a byte of a disk that is not complete');
      failsWith(t, ended, 'noSpace', /full|no space/i, 'download');
      const before = names(join(world.repository(1), 'snapshots'));
      const flattened = await world.run('restic/increment_flatten', ['6'], image(place, 'increment_flatten'));
      t.equal(flattened.stdout, '');
      failsWith(t, flattened, 'noSpace', /full|no space/i, 'flatten');
      t.strictSame(names(join(world.repository(1), 'snapshots')), before);
      t.strictSame(await emptied(world.temporary), [], 'nothing stays');
    });

    t.test('a full filesystem on the server', { skip }, async (t) => {
      const small = world.datastore;
      rmSync(small, { recursive: true });
      mkdirSync(small);
      await mountSmall(t, small, '24m');
      cpSync(place.pristine, world.repository(1), { recursive: true });
      const other = new BackedUpVm(world, 1, { diskBytes: 64 * 2 ** 20, clusters: 400 });
      other.stage(0);
      const before = names(join(world.repository(1), 'snapshots'));
      const ended = await world.run('restic/backup', ...other.call(0));
      t.equal(ended.stdout, '');
      failsWith(t, ended, 'noSpace', /full|no space/i, 'backup');
      t.strictSame(names(join(world.repository(1), 'snapshots')), before);
      const listed = await world.run('restic/ls', ['-i', '-1'], image(place, 'ls-i2'));
      t.equal(listed.code, 0, `what was there can be listed; ${listed.stderr}`);
    });
  });
}

t.test('a password of 1 kB with every printable character works', async (t) => {
  const world = await startFrontEnd({ password: LONG_PASSWORD });
  t.teardown(() => world.stop());
  const vm = new BackedUpVm(world, 1, { disks: 1 });
  await vm.backUp();
  const listed = await world.run('restic/ls', ['-i', '-1'], world.imageMessage('ls-i2', 1, vm.chain));
  t.equal(listed.code, 0, listed.stderr);
  const file = join(world.folder, 'message');
  writeFileSync(file, world.message('monitor'));
  const url = JSON.parse(listed.stdout)['0'] as string;
  const target = join(world.folder, 'disk');
  const line = `unset NODE_OPTIONS; "$0" --stream "$1" --message "$2" > "$3"`;
  const script = join(world.built, 'restic_downloader.rb');
  execFileSync('bash', ['-c', line, script, url, file, target], { env: world.env });
  t.equal(difference(target, vm.disks[0]?.at('0') as string), undefined);
  const removed = await world.run('restic/rm', ['6'], world.imageMessage('rm-increments', 1, vm.chain));
  t.strictSame([removed.code, removed.stdout, removed.stderr], [0, '', '']);
});
