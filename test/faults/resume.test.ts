import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { LiveDisk } from '../helpers/disk';
import type { Ended, Running } from '../helpers/front-end';
import { until } from '../helpers/waits';
import { type FaultWorld, startFaultWorld, withAttributes } from './fault-world';
import { ofActions, send } from './processes-of';

t.setTimeout(2_400_000);

const GOES_ON = /^INFO: going on with what an earlier backup of VM 1 had sent$/m;
let faults: FaultWorld;
let disk: LiveDisk;
let folder: string;
let laid: string;
let log: string;

const start = (attributes: Readonly<Record<string, string>> = {}): Running => {
  const [args, message] = faults.world.backupCall(1, [0], 0);
  return faults.world.start('rsync/backup', args, withAttributes(message, attributes));
};
const slow = (kib: number): Record<string, string> => faults.world.traits.slow(kib) as Record<string, string>;
const stored = (): string[] => faults.world.traits.stored(folder);
const dead = (): string[] => readdirSync(folder).filter((name) => name.startsWith('.'));

/** How many bytes rsync sent of the disk in its last run, as it says itself. */
function sentBytes(): number {
  const lines = readFileSync(log, 'utf8').split('\n');
  const line = lines.findLast((one) => / disk\.0\.0 \d+$/.test(one));
  return Number(line?.split(' ').at(-1) ?? 0);
}

/** Makes a folder that looks as one that a dead transfer left: with this beginning of the disk, changed by `spoil`. */
function leave(name: string, share: number, spoil: (content: Buffer) => void = () => {}): string {
  const left = join(folder, `.receiving-${name}`);
  mkdirSync(left, { recursive: true });
  const content = readFileSync(laid);
  const begun = Buffer.from(content.subarray(0, Math.floor(content.length * share)));
  spoil(begun);
  const file = join(left, 'disk.0.0');
  writeFileSync(file, begun);
  const { atime, mtime } = statSync(laid);
  utimesSync(file, atime, mtime);
  return file;
}

/** Checks that a backup succeeded, is exact, and that nothing else is left. */
async function isStored(t: Test, ended: Ended, comment: string, rest: readonly string[] = []): Promise<string> {
  t.equal(ended.code, 0, `${comment}: ${ended.stderr}`);
  const source = ended.stdout.split(' ')[0] ?? '';
  t.ok(readFileSync(join(folder, source, 'disk.0.0')).equals(readFileSync(laid)), `${comment}: the file is exact`);
  t.equal(faults.damage(folder), undefined, comment);
  t.equal(await faults.differs(1, [{ id: 0, source }], 0, disk.at('0')), undefined, comment);
  t.strictSame(dead(), rest, `${comment}: nothing is left`);
  return source;
}

t.before(async () => {
  faults = await startFaultWorld({ driver: 'rsync' });
  const { world, tools } = faults;
  folder = world.repository(1);
  disk = faults.newDisk('disk');
  disk.change(200);
  faults.stage(1, disk, 0, '0');
  laid = join(faults.stagingOf(1), 'disk.0.0');
  // Yesterday's: what is received now is newer.
  utimesSync(laid, new Date(1_600_000_000_000), new Date(1_600_000_000_000));
  log = join(tools, '..', 'log');
  writeFileSync(log, '');
  const said = `--log-file=${log} '--log-file-format=%n %b'`;
  const client = `#!/bin/sh\ncase $1 in --server) exec /usr/bin/rsync "$@" ;; *) exec /usr/bin/rsync ${said} "$@" ;; esac\n`;
  writeFileSync(join(tools, 'rsync'), client, { mode: 0o755 });
});
t.beforeEach(() => {
  rmSync(faults.world.datastore, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
});
t.teardown(() => faults.stop());

t.test('a transfer that is killed late is gone on with, and only its rest is sent', async (t) => {
  const { size } = statSync(laid);
  await isStored(t, await start().ended, 'the first');
  t.ok(sentBytes() > size * 0.99, `a whole one sends ${sentBytes()} of ${size} bytes`);
  for (const victim of ['rsync', 'the action'] as const) {
    const { child, ended } = start(slow(1500));
    const received = (): number => {
      const [name] = dead();
      const file = join(folder, name ?? '.receiving-', 'disk.0.0');
      return existsSync(file) ? statSync(file).size : 0;
    };
    t.ok(await until(() => received() > size * 0.6, 60, 5), `${victim}: most of it has come`);
    const pids =
      victim === 'rsync'
        ? ofActions(faults.world.ssh.folder)
            .filter(({ name }) => name === 'rsync')
            .map(({ pid }) => pid)
        : [child.pid ?? 0];
    for (const pid of pids) send('SIGKILL', pid);
    t.not((await ended).code, 0);
    t.strictSame(await faults.quiet(), []);
    const [name = ''] = dead();
    const { ino, size: had } = statSync(join(folder, name, 'disk.0.0'));
    const next = await start().ended;
    t.match(next.stderr, GOES_ON, victim);
    const source = await isStored(t, next, victim);
    t.equal(statSync(join(folder, source, 'disk.0.0')).ino, ino, `${victim}: it is the same file`);
    t.ok(
      sentBytes() < (size - had) * 1.1 + 70_000,
      `${victim}: ${sentBytes()} bytes were sent, ${had} of ${size} were there`,
    );
  }
});

t.test('what was left is never trusted', async (t) => {
  const outside = join(faults.world.folder, 'outside');
  writeFileSync(outside, Buffer.alloc(50_000_000, 'x'));
  const cases: Record<string, () => void> = {
    'its beginning differs': () => void leave('0', 0.9, (content) => content.fill('x', 4096, 8192)),
    'all but its size and time differs': () => void leave('0', 1, (content) => content.fill('x')),
    'it has zeros where data should be': () => void leave('0', 0.9, (content) => content.fill(0, 100_000)),
    'it is longer': () => {
      const file = leave('0', 1);
      truncateSync(file, statSync(file).size + 1_000_000);
    },
    'it is empty': () => truncateSync(leave('0', 1), 0),
    'it is of another increment': () => cpSync(leave('0', 0.5), join(folder, '.receiving-0', 'disk.0.7')),
    'it is full of traps': () => {
      const left = join(leave('0', 0.5), '..');
      rmSync(join(left, 'disk.0.0'));
      symlinkSync(outside, join(left, 'disk.0.0'));
      mkdirSync(join(left, 'vm.xml', 'deep'), { recursive: true });
      for (const name of ['-rf', '--', '.hidden', "it's $HOME", 'a\nb', '*', 'disk.0.0 ', 'disk.0.0:5'])
        writeFileSync(join(left, name), 'x');
      symlinkSync(faults.world.folder, join(left, '.link'));
    },
  };
  for (const [what, lay] of Object.entries(cases)) {
    rmSync(folder, { recursive: true });
    mkdirSync(folder);
    lay();
    const source = await isStored(t, await start().ended, what);
    t.strictSame(readdirSync(join(folder, source)).sort(), ['disk.0.0', 'manifest.json', 'vm.xml'], what);
  }
  t.ok(readFileSync(outside).equals(Buffer.alloc(50_000_000, 'x')), 'no link was followed');
});

t.test('whatever RSYNC_ARGS say of how a file is transferred, all of it is', async (t) => {
  const args = [
    '-aS --size-only',
    '-aSc',
    '-aSW',
    '-aS --checksum-choice=none',
    '-S --preallocate',
    '--no-times',
    '-aSz -vv',
  ];
  for (const RSYNC_ARGS of args) {
    for (const what of ['a beginning', 'another content'] as const) {
      rmSync(folder, { recursive: true });
      mkdirSync(folder);
      leave('0', what === 'a beginning' ? 0.7 : 1, (content) => what === 'another content' && content.fill('x', 5000));
      await isStored(t, await start({ RSYNC_ARGS }).ended, `${RSYNC_ARGS}, ${what}`);
    }
  }
  const refused = await start({ RSYNC_ARGS: '-aS --zc=nonsense' }).ended;
  t.strictSame([refused.code, refused.stdout], [4, ''], refused.stderr);
  t.match(refused.stderr, /rsync does not accept its options: unknown compress name: nonsense .*RSYNC_ARGS/);
});

t.test('several dead folders, and one that is alive', async (t) => {
  leave('0', 0.5);
  leave('1', 0.7);
  mkdirSync(join(folder, '.merging-2'));
  mkdirSync(join(folder, '.removing-3'));
  const first = await start().ended;
  t.match(first.stderr, GOES_ON);
  await isStored(t, first, 'two dead ones');

  leave('0', 0.5);
  const holder = spawn('flock', ['--shared', join(folder, '.receiving-0'), 'sh', '-c', 'echo held; cat'], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  t.teardown(() => holder.kill('SIGKILL'));
  await once(holder.stdout, 'data');
  const beside = await start().ended;
  t.notMatch(beside.stderr, GOES_ON, 'what somebody works on is not taken');
  await isStored(t, beside, 'a living one', ['.receiving-0']);
  const removed = await faults.world.run(
    'rsync/rm',
    ['6'],
    faults.world.imageMessage('rm-increments', 1, [{ id: 0, source: beside.stdout.split(' ')[0] ?? '' }]),
  );
  t.strictSame([removed.code, dead()], [0, ['.receiving-0']], 'nor removed');
  holder.stdin.end();
  await once(holder, 'close');
  const last = await start().ended;
  t.match(last.stderr, GOES_ON, 'but when its holder is dead');
  await isStored(t, last, 'a dead one');
});

t.test('two backups of one VM at once', async (t) => {
  leave('0', 0.5);
  const both = await Promise.all([start(slow(4000)).ended, start(slow(4000)).ended]);
  t.strictSame(
    both.map(({ code }) => code),
    [0, 0],
    both.map(({ stderr }) => stderr).join(),
  );
  t.equal(both.filter(({ stderr }) => GOES_ON.test(stderr)).length, 1, 'one of them takes what was left');
  t.equal(stored().length, 2);
  for (const one of both) await isStored(t, one, 'one of two');
});
