import t from 'tap';
import type { Command } from '../../../lib/command/command';
import * as guestfish from '../../../lib/command/guestfish';
import type { AbsolutePath } from '../../../lib/opennebula/ids';

// The answers are those of guestfish 1.48.6 to a disk with one partition, an operating system and names of all kinds.

const FISH = { pid: '4513', said: '/tmp/said' as AbsolutePath };

function answer<T>(command: Command<T>, stdout: string): T {
  return command.parse({ exitCode: 0, stdout, stderr: '' });
}

t.test('each word is an argument of its own', async (t) => {
  const words = (command: Command<unknown>): readonly string[] => command.argv.slice(4);
  t.strictSame(words(guestfish.realPath(FISH, '/-rf; : <!id')), [
    FISH.said,
    '--remote=4513',
    '--',
    'realpath',
    '/-rf; : <!id',
  ]);
  t.equal(words(guestfish.mount(FISH, '/dev/sda1', '/', false))[3], 'mount-ro');
  t.equal(words(guestfish.mount(FISH, '/dev/sdz1', '/srv', true))[3], '-mount-ro', 'fails without ending it');
});

t.test('names in a list, as the real one was seen to take them apart', async (t) => {
  const names = [`a'b \\' c`, 'back\\', 'back\\ slash', ':', '-rf', `it's \\ odd  name`, 'new\nline', `'`, `x'`];
  const list = `''a\\'b' '\\\\'' 'c back\\ back'\\ 'slash : -rf it\\'s' ''\\ 'odd'  'name new\nline \\' x\\'`;
  t.equal(guestfish.asList(names), list);
  t.equal(guestfish.asList(['-rf']), "''-rf", 'never an option');
});

t.test('answers', async (t) => {
  t.strictSame(answer(guestfish.operatingSystems(FISH), '/dev/sda1\n'), ['/dev/sda1']);
  t.strictSame(
    [...answer(guestfish.mountpoints(FISH, '/dev/sda1'), '/: /dev/sda1\n/a: b: /dev/sda2\n')],
    [
      ['/', '/dev/sda1'],
      ['/a: b', '/dev/sda2'],
    ],
  );
  t.strictSame(
    [...answer(guestfish.filesystems(FISH), '/dev/sda1: ext4\nbtrfsvol:/dev/sda2/root: btrfs\n')],
    [
      ['/dev/sda1', 'ext4'],
      ['btrfsvol:/dev/sda2/root', 'btrfs'],
    ],
  );
  t.equal(answer(guestfish.realPath(FISH, '/house/ann/link'), '/etc/hosts\n'), '/etc/hosts');
  t.strictSame(answer(guestfish.names(FISH, '/'), 'back\\ slash\0:\0new\nline\0'), ['back\\ slash', ':', 'new\nline']);
  const stat = 'st_dev: 2049\nst_ino: 30\nst_mode: 41471\nst_size: 10\nst_blksize: 1024\nst_mtime_sec: 1795178784\n';
  t.strictSame(answer(guestfish.stat(FISH, '/home/ann/link'), stat), {
    mode: 0o120777,
    sizeBytes: 10,
    modifiedAt: 1795178784,
  });
  const indented = stat.replace(/^/gm, '  ').trimEnd();
  const none = '  st_dev: 0\n  st_ino: -1\n  st_mode: 0\n  st_size: 0\n  st_mtime_sec: 0';
  const both = answer(guestfish.stats(FISH, '/', ['link', 'nope']), `[0] = {\n${indented}\n}\n[1] = {\n${none}\n}\n`);
  t.match(both, [{ mode: 0o120777 }, undefined]);
});

t.test('failures: the first error is the reason', async (t) => {
  const failed = (command: Command<unknown>, stderr: string, exitCode = 1) =>
    command.classify?.({ exitCode, stdout: '', stderr }, 'server');
  const missing = 'libguestfs: error: realpath: /nix: No such file or directory\n';
  t.match(failed(guestfish.realPath(FISH, '/nix'), missing), {
    kind: 'notFound',
    message: 'guestfish cannot find /nix: realpath: /nix: No such file or directory (on server)',
  });
  const crashed = [
    'libguestfs: error: appliance closed the connection unexpectedly.',
    'This usually means the libguestfs appliance crashed.',
    '  export LIBGUESTFS_DEBUG=1 LIBGUESTFS_TRACE=1',
    'libguestfs: error: guestfs_launch failed.',
    '',
  ].join('\n');
  t.match(failed(guestfish.launch(FISH), crashed)?.message, /does not start: appliance closed .*libguestfs-test-tool/);
  const gone = '/tmp/.guestfish-0/socket-4513: No such file or directory\n';
  t.match(failed(guestfish.launch(FISH), `${gone}guestfish: remote: looks like the server is not running\n`), {
    kind: 'failed',
  });
  t.equal(failed(guestfish.launch(FISH), '', 120), undefined, 'what the supervisor says is its own');
});
