import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { BackedUpVm } from '../helpers/backed-up-vm';
import { difference } from '../helpers/disk';
import { startFrontEnd } from '../helpers/front-end';
import { withText } from '../helpers/messages';
import { quickenKey } from '../helpers/quick-key';
import { comesWhile, until } from '../helpers/waits';
import { leftovers } from './processes-of';

// restic ends with 3 and makes a snapshot all the same when it cannot read a file. While the flag is there, this one
// leaves the disks of a backup out and says so, as restic does of a disk with a bad block; or, while "untold" is in it,
// it stores all, says nothing of it and hangs, as one that is killed between the two.
const tools = mkdtempSync(join(tmpdir(), 'one-backup-incomplete-'));
const flag = join(tools, 'flag');
const real = execFileSync('sh', ['-c', 'command -v restic'], { encoding: 'utf8' }).trim();
const script = `#!/bin/sh
case " $* " in *" backup "*) backup=yes ;; *) backup= ;; esac
[ -e ${flag} ] && [ -n "$backup" ] || exec ${real} "$@"
[ ! -s ${flag} ] || { ${real} "$@" >/dev/null; : >${flag}.stored; exec sleep 60; }
for word; do shift; case $word in */disk.*) ;; *) set -- "$@" "$word" ;; esac; done
${real} "$@"
echo '{"message_type":"error","error":{"message":"read disk.0.0: input/output error"},"during":"archival"}' >&2
exit 3
`;
const programs = join(tools, 'programs');
mkdirSync(programs);
writeFileSync(join(programs, 'restic'), script, { mode: 0o755 });

t.test('what is not complete never stays, and is never trusted', async (t) => {
  const banner = join(tools, 'banner');
  writeFileSync(banner, '*** ssh: authorized use only ***\n');
  const world = await startFrontEnd({ programs, sshdConfig: `Banner ${banner}` });
  t.teardown(async () => {
    await world.stop();
    rmSync(tools, { recursive: true, force: true });
  });
  world.serveDatastore();
  const vm = new BackedUpVm(world, 1, { disks: 1 });
  await vm.backUp();
  quickenKey(world.repository(1), world.password);
  for (let n = 1; n < 5; n++) await vm.backUp();

  const restic = (...args: string[]): string =>
    execFileSync(real, ['-r', world.repository(1), '--no-cache', ...args], {
      env: { ...world.env, RESTIC_PASSWORD: world.password },
      encoding: 'utf8',
    });
  const snapshots = (): string[] =>
    (JSON.parse(restic('snapshots', '--json')) as { short_id: string }[]).map((one) => one.short_id).sort();
  const sources = (): string[] => vm.chain.map(({ source }) => source).sort();
  const flatten = (keepLast: number) =>
    world.run(
      'restic/increment_flatten',
      ['6'],
      world.imageMessage('increment_flatten', 1, vm.chain, (text) =>
        withText(text, 'EXTRA_DATA', 'KEEP_LAST', String(keepLast)),
      ),
    );
  const download = async (
    chain: readonly { id: number; source: string }[],
    point: number,
  ): Promise<string | undefined> => {
    const listed = await world.run('restic/ls', ['-i', String(point)], world.imageMessage('ls-i2', 1, chain));
    const url = JSON.parse(listed.stdout)['0'];
    const file = join(world.folder, 'downloaded');
    const { code, stdout, stderr } = await world.run('restic_downloader.rb', ['--stream', url], '');
    writeFileSync(file, Buffer.from(stdout, 'latin1'));
    return code === 0 ? difference(file, vm.disks[0]?.at(String(point)) ?? '') : stderr;
  };

  await t.test('a backup of which restic could not read all', async (t) => {
    writeFileSync(flag, '');
    vm.stage(5);
    const failed = await world.run('restic/backup', ...vm.call(5));
    rmSync(flag);
    t.equal(failed.code, 9, failed.stderr);
    t.match(failed.stderr, /could not be read: read disk\.0\.0: input\/output error/);
    t.equal(failed.stdout, '');
    t.strictSame(snapshots(), sources(), 'its snapshot is gone');
  });

  await t.test('a backup that is cancelled before restic could tell what it stored', async (t) => {
    writeFileSync(flag, 'untold');
    vm.stage(5);
    const running = world.start('restic/backup', ...vm.call(5));
    const isStored = (): boolean => existsSync(`${flag}.stored`);
    t.ok(await comesWhile(running.child, 'restic has stored the backup', isStored), 'all is stored');
    t.equal(snapshots().length, sources().length + 1);
    running.child.kill('SIGTERM');
    const { code, stderr } = await running.ended;
    rmSync(flag);
    t.equal(code, 14, stderr);
    await until(() => leftovers(world.ssh.folder).length === 0); // what cleans up may be about to end
    t.strictSame(snapshots(), sources(), 'its snapshot is gone');
  });

  await t.test('a merged backup of which restic could not read all', async (t) => {
    writeFileSync(flag, '');
    const failed = await flatten(3);
    rmSync(flag);
    t.not(failed.code, 0);
    t.strictSame(snapshots(), sources());
  });

  await t.test('a merged snapshot that another one left incomplete', async (t) => {
    writeFileSync(join(tools, 'vm.xml'), 'x');
    const replaced = vm.chain.slice(0, 3).map(({ source }) => `--tag=one-replaces-${source}`);
    restic('backup', '--tag=one-1', ...replaced, join(tools, 'vm.xml'));
    const { code, stdout, stderr } = await flatten(3);
    t.equal(code, 0, stderr);
    const chain =
      stdout
        .trim()
        .split(' ')[1]
        ?.split(',')
        .map((pair) => ({ id: Number(pair.split(':')[0]), source: pair.split(':')[1] ?? '' })) ?? [];
    t.strictSame(
      chain.map(({ id }) => id),
      [2, 3, 4],
    );
    for (const point of [2, 3, 4]) t.equal(await download(chain, point), undefined, `point ${point}, new chain`);
    t.strictSame(snapshots(), chain.map(({ source }) => source).sort(), 'and the incomplete one is gone');
  });

  await t.test('the answer was lost, and meanwhile more or less is to be kept', async (t) => {
    for (const [keepLast, ids] of [
      [4, [2, 3, 4]],
      [2, [3, 4]],
    ] as const) {
      const { code, stdout, stderr } = await flatten(keepLast);
      t.equal(code, 0, stderr);
      t.strictSame(
        stdout
          .trim()
          .split(' ')[1]
          ?.split(',')
          .map((pair) => Number(pair.split(':')[0])),
        ids,
        `KEEP_LAST ${keepLast}`,
      );
      for (const point of [3, 4]) t.equal(await download(vm.chain, point), undefined, `point ${point}, old chain`);
    }
  });

  await t.test('a banner of sshd is no failure, and does not hide one', async (t) => {
    const path = `restic://100//0:0123abcd${vm.staging}/disk.0.0`;
    const { code, stderr } = await world.run(
      'restic/stat',
      ['1'],
      world.message('stat-from-backup-ds', (text) => withText(text, 'IMAGE', 'PATH', path)),
    );
    t.equal(code, 6, stderr);
    t.notMatch(stderr, 'authorized');
  });

  await t.test('an action whose message never comes ends when it is told to', async (t) => {
    const waiting = world.start('restic/monitor', ['100'], undefined);
    // More than a pipe takes: once all of it is gone, somebody reads, and whoever reads has asked for the signals before.
    waiting.child.stdin?.write(Buffer.alloc(4 * 2 ** 20, 'x'), () => waiting.child.kill('SIGTERM'));
    const { code, stderr } = await waiting.ended;
    t.equal(code, 14);
    t.match(stderr, /^monitor was cancelled \(SIGTERM\)$/m);
  });

  t.notOk(existsSync(flag));
});
