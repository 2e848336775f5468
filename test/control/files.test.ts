import { existsSync, lstatSync, readdirSync, readFileSync, readlinkSync, rmSync, statSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { comesWhile, waitFor } from '../helpers/waits';
import { openWorld } from './files-world';
import { HOLE_BYTES, STRANGE } from './guest-disks';

interface Entry {
  readonly name: string;
  readonly type: string;
  readonly sizeBytes: number;
  readonly mode: string;
}

t.test('files and extract', async (t) => {
  const b = await openWorld();
  const { at, run, ok, rsyncFile, resticFile, w } = b;
  t.teardown(() => w.stop());
  const disk = (id: number): string[] => ['--disk', String(id)];

  await t.test('restore: a vm.xml without a template', async (t) => {
    const { code, stderr } = await run('restore', ...rsyncFile, '--to', at('restored'));
    t.equal(code, 1);
    t.match(stderr, /vm\.xml: it has no TEMPLATE/);
    t.ok(['disk.0.qcow2', 'disk.1.qcow2', 'vm.xml'].every((name) => existsSync(join(at('restored'), name))));
    t.notOk(existsSync(join(at('restored'), 'vm.template')));
    await ok('restore', ...rsyncFile, ...disk(0), '--to', at('restored disk')); // which needs none
  });
  const before = b.stored();

  t.test('guestfish is nowhere, then only here, then where the disk is', async (t) => {
    const none = await run('files', ...rsyncFile, ...disk(0));
    t.equal(none.code, 6);
    t.match(
      none.stderr,
      /guestfish is not installed on server, nor on this machine. Run as root on either: apt-get install/,
    );
    b.install('here');
    const here = await ok('files', ...rsyncFile, ...disk(0), '/etc', '--verbose');
    t.match(here.stderr, 'Trying without KVM');
    t.match(here.stderr, `copying disk 0 into ${at('scratch')}/one-backup-files-`);
    t.match(here.stderr, 'not shown, for it cannot be mounted: /srv/gone');
    t.match(here.stdout, /^-rw-r--r-- +8 B +20\S+ \S+ +hosts$/m);
    t.strictSame(b.leftovers(), []);
    b.install('there');
    const there = await ok('files', ...rsyncFile, ...disk(0), '/etc');
    t.notMatch(there.stderr, 'copying');
    t.equal(there.stdout, here.stdout);
    t.strictSame(b.leftovers(), []);
  });

  t.test('names of all kinds', async (t) => {
    const { stdout } = await ok('files', ...rsyncFile, ...disk(0));
    t.match(stdout, /^drwxr-xr-x +20\S+ \S+ +etc\/$/m);
    t.match(stdout, /^lrwxrwxrwx +20\S+ \S+ +house$/m);
    t.match(stdout, /^-rw-r--r-- .* new\?line$/m, 'a name does not move the cursor');
    t.ok(stdout.split('\n').every((line) => line.length <= 80));
    const words = ['files', ...rsyncFile, ...disk(0), 'house/../house/ann/', '--json'];
    const { path, entries } = JSON.parse((await ok(...words)).stdout) as { path: string; entries: Entry[] };
    t.equal(path, '/home/ann');
    const known = new Map(entries.map((entry) => [entry.name, entry]));
    for (const name of STRANGE)
      t.match(known.get(name), { type: 'file', sizeBytes: name.length }, JSON.stringify(name));
    t.match(known.get('program'), { type: 'file', sizeBytes: 300_000, mode: '4755' });
    t.match(known.get('hole'), { sizeBytes: HOLE_BYTES });
    const types = ['pipe', 'deep', 'link', '\ufffd'].map((name) => known.get(name)?.type);
    t.strictSame(types, ['pipe', 'folder', 'link', '?']);
    const missing = await run('files', ...rsyncFile, ...disk(0), '/no/such');
    t.equal(missing.code, 6);
    t.match(missing.stderr, /^guestfish cannot find \/no\/such: .*No such file or directory \(on server\)$/m);
  });

  t.test('another backup, another disk', async (t) => {
    const which = ['--increment', '1', '--to', at('old')];
    await ok('extract', ...rsyncFile, ...disk(0), '/etc/hosts', ...which);
    t.equal(readFileSync(at('old', 'hosts'), 'utf8'), 'stage 1\n');
    t.match((await run('files', ...rsyncFile)).stderr, /holds several disks. Choose one with --disk: 0, 1/);
    const two = await run('files', ...rsyncFile, ...disk(1));
    t.equal(two.code, 6);
    t.match(two.stderr, /2 filesystems. Choose one with --filesystem: \/dev\/sda1 \(ext4\), \/dev\/sda2 \(ext4\)/);
    const one = await ok('files', ...rsyncFile, ...disk(1), '--filesystem', '/dev/sda2');
    t.match(one.stdout, /ann\/$/m);
    t.match(one.stderr, '/ of the filesystem /dev/sda2 (ext4)');
    t.match((await run('files', ...rsyncFile, ...disk(1), '--filesystem=-x')).stderr, /holds no "-x". It has: \/dev/);
  });

  t.test('extract', async (t) => {
    const out = at('out');
    const words = ['extract', ...rsyncFile, ...disk(0), '--to', out];
    const { stdout } = await ok(...words, '/home/ann', '/etc/hosts', '/home/ann/link', '--json');
    const [folder, hosts] = JSON.parse(stdout).extracted;
    t.match(folder, { path: '/home/ann', name: 'ann', type: 'folder' });
    t.match(hosts, { sizeBytes: 8, sha256: /^[0-9a-f]{64}$/ });
    t.equal(readFileSync(join(out, 'hosts'), 'utf8'), 'stage 2\n');
    t.equal(readFileSync(join(out, 'link'), 'utf8'), 'stage 2\n', 'a link that is named is followed, in the guest');
    const names = readdirSync(join(out, 'ann'), 'latin1');
    for (const name of [...STRANGE, '\xe9']) t.ok(names.includes(name), JSON.stringify(name));
    t.ok(readFileSync(join(out, 'ann', 'program')).equals(Buffer.alloc(300_000, 2)));
    t.equal(statSync(join(out, 'ann', 'program')).mode & 0o7777, 0o755, 'no set-id bit');
    t.equal(readlinkSync(join(out, 'ann', 'link')), '/etc/hosts');
    const hole = statSync(join(out, 'ann', 'hole'));
    t.ok(hole.size === HOLE_BYTES && hole.blocks * 512 < HOLE_BYTES / 4, 'a hole takes no room');
    t.notOk(existsSync(join(out, 'ann', 'pipe')));
    t.equal(statSync(out).mode & 0o777, 0o700);
    const again = await run(...words, '/etc/hosts');
    t.equal(again.code, 9);
    t.match(again.stderr, /holds hosts already. Choose another folder, or replace it with --yes/);
    rmSync(join(out, 'hosts'));
    symlinkSync('/etc/passwd', join(out, 'hosts'));
    await ok(...words, '/etc/hosts', '/home/ann', '--yes');
    t.ok(lstatSync(join(out, 'hosts')).isFile(), 'a link in the way is replaced, not followed');
    t.match((await run(...words, '/etc/hosts', '/house/hosts')).stderr, 'two of these would be called hosts');
    t.match((await run(...words, '/home/ann/pipe')).stderr, '/home/ann/pipe is a pipe');
    const named = STRANGE.filter((name) => !name.includes('\n'));
    await ok(...words, ...named.map((name) => `/home/ann/${name}`));
    for (const name of named) t.equal(readFileSync(join(out, name), 'utf8'), name);
    t.strictSame(
      readdirSync(out).filter((name) => name.startsWith('.')),
      [],
    );
  });

  t.test('restic: the disk is copied for it', async (t) => {
    const out = at('from-restic');
    const { stderr } = await ok('extract', ...resticFile, ...disk(0), '/etc/hosts', '--to', out);
    t.match(stderr, `copying disk 0 into ${at('scratch')}`);
    t.equal(readFileSync(join(out, 'hosts'), 'utf8'), 'stage 1\n');
  });

  t.test('Ctrl-C, and a kill', async (t) => {
    const out = at('interrupted');
    const words = ['extract', ...rsyncFile, ...disk(0), '/large', '--to', out];
    const parts = (): string[] => (existsSync(out) ? readdirSync(out) : []);
    for (const signal of ['SIGINT', 'SIGKILL'] as const) {
      const running = b.start(...words);
      t.ok(await comesWhile(running.child, 'a part of the file', () => parts().length > 0, 5), 'it has begun');
      running.child.kill(signal);
      const { code } = await running.ended;
      if (signal === 'SIGINT') t.equal(code, 14);
      t.strictSame(parts().length, signal === 'SIGINT' ? 0 : 1);
      await waitFor('nothing is left over', () => b.leftovers().length === 0, 50);
    }
    t.match(
      (await ok(...words.map((word) => word.replace('/large', '/etc/hosts')))).stderr,
      'removed what an interrupted run had left',
    );
    t.strictSame(parts(), ['hosts']);
  });

  t.equal(b.stored(), before, 'nothing that is stored was changed');
  t.strictSame(b.leftovers(), []);
});
