import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { ErrorKind } from '../../lib/errors';
import { BackedUpVm } from '../helpers/backed-up-vm';
import { type Ended, type FrontEndOptions, type FrontEndWorld, startFrontEnd } from '../helpers/front-end';
import { withText } from '../helpers/messages';
import { contentOf } from '../helpers/tree';
import { failsWith } from './storage';

/** A backup server that lacks something: what the drivers say that work there, and that they change nothing. */
interface Bed {
  readonly world: FrontEndWorld;
  /** A call of each action about a VM with a chain of three. */
  readonly actions: Readonly<Record<string, () => Promise<Ended>>>;
}

/**
 * What sshd runs instead of a login's own command. At a port with a list of programs to hide, the login gets a mount
 * namespace in which these are no programs; at one that is marked so, it is `nobody`, with a shell.
 */
const LOGIN = `#!/bin/sh
port=\${SSH_CONNECTION##* }
as=; [ ! -e "FOLDER/nobody.$port" ] || as='setpriv --reuid=nobody --clear-groups'
case $SSH_ORIGINAL_COMMAND in *sftp*) exec $as /usr/lib/openssh/sftp-server ;; esac
hide=$(cat "FOLDER/hide.$port" 2>/dev/null)
[ -n "$hide" ] || exec $as sh -c "$SSH_ORIGINAL_COMMAND"
exec unshare --mount sh -c 'for name in $1; do mount --bind /dev/null "$(command -v "$name")" || exit 99; done; exec sh -c "$2"' sh "$hide" "$SSH_ORIGINAL_COMMAND"
`;

/** Writes that program into a folder of the test, and returns its path. */
function writeLogin(t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'one-backup-login-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  chmodSync(folder, 0o755);
  writeFileSync(join(folder, 'login'), LOGIN.replaceAll('FOLDER', folder), { mode: 0o755 });
  return join(folder, 'login');
}

async function makeBed(t: Test, options: FrontEndOptions): Promise<Bed> {
  const world = await startFrontEnd({ driver: 'rsync', withoutMachine: true, sshds: 2, ...options });
  t.teardown(() => world.stop());
  world.serveDatastore();
  const sources = ['0a1b2c3d4e5f', '1a1b2c3d4e5f', '2a1b2c3d4e5f'];
  const chain = sources.map((source, id) => ({ id, source }));
  const vm = new BackedUpVm(world, 1, { disks: 1 });
  for (const { id, source } of chain) {
    // As the stock driver laid it: there may be no rsync to do it with.
    vm.stage(id, join(world.repository(1), source));
  }
  vm.stage(3);
  const image = (name: 'ls-i2' | 'rm-increments' | 'increment_flatten'): string => world.imageMessage(name, 1, chain);
  const stat = (text: string): string => withText(text, 'IMAGE', 'PATH', world.url(1, chain, 'disk.0.2'));
  return {
    world,
    actions: {
      monitor: () => world.run(world.script('monitor'), ['100'], world.message('monitor')),
      ls: () => world.run(world.script('ls'), ['-i', '-1'], image('ls-i2')),
      stat: () => world.run(world.script('stat'), ['4'], world.message('stat-from-backup-ds', stat)),
      'download of a chain': () => world.run(world.downloader, ['--stream', world.url(1, chain, 'disk.0.2')], ''),
      'download of a full': () =>
        world.run(world.downloader, ['--stream', world.url(1, chain.slice(0, 1), 'disk.0.0')], ''),
      backup: () => world.run(world.script('backup'), ...vm.call(3)),
      'first backup': () => {
        vm.stage(0);
        return world.run(world.script('backup'), ...vm.call(0));
      },
      flatten: () => world.run(world.script('increment_flatten'), ['6'], image('increment_flatten')),
      rm: () => world.run(world.script('rm'), ['6'], image('rm-increments')),
    },
  };
}

/** Runs actions that must fail like this, and change nothing. */
async function refused(t: Test, bed: Bed, names: readonly string[], kind: ErrorKind, says: RegExp): Promise<void> {
  const { datastore, temporary } = bed.world;
  const before = contentOf(datastore, temporary);
  for (const name of names) {
    const ended = await (bed.actions[name] as () => Promise<Ended>)();
    t.equal(ended.stdout, '', name);
    failsWith(t, ended, kind, says, name);
    t.strictSame(contentOf(datastore, temporary), before, `${name}: nothing changed`);
  }
}

async function works(t: Test, bed: Bed, names: readonly string[]): Promise<void> {
  for (const name of names) {
    const { code, stderr } = await (bed.actions[name] as () => Promise<Ended>)();
    t.equal(code, 0, `${name}: ${stderr}`);
  }
}

const NO_SHELL =
  /^the login on the backup server gives no shell, which this driver needs \(on .*\)\. .*use the restic driver/;

t.test('a server that gives SFTP only', async (t) => {
  const bed = await makeBed(t, { sftpOnly: ['server'] });
  await refused(t, bed, ['backup', 'flatten', 'rm', 'download of a chain'], 'notFound', NO_SHELL);
  await works(t, bed, ['monitor', 'ls', 'stat']);

  const zfs = await makeBed(t, { driver: 'zfs', sftpOnly: ['server'] });
  await refused(t, zfs, ['backup'], 'notFound', NO_SHELL);
  for (const name of ['monitor', 'ls', 'stat', 'flatten', 'rm']) {
    const { code, stdout, stderr } = await (zfs.actions[name] as () => Promise<Ended>)();
    t.ok(code !== 0 && stdout === '', `zfs: ${name} fails: ${stderr}`);
  }
});

const skip = process.getuid?.() === 0 ? false : 'only root can hide a program from a login';
const hasZfs = spawnSync('zfs', ['version']).error === undefined;
t.test('a server without ZFS', { skip: hasZfs ? skip : false }, async (t) => {
  const script = writeLogin(t);
  const bed = await makeBed(t, { driver: 'zfs', sshdConfig: `ForceCommand ${script}` });
  if (hasZfs) writeFileSync(join(script, '..', `hide.${bed.world.ssh.port('server')}`), 'zfs');
  await refused(t, bed, ['backup'], 'notFound', /^the backup server has no zfs \(on .*\)\. .*zfsutils-linux/);
  const says = /^cannot look at the dataset .*: there is no zfs \(on server\)\. .*apt install zfsutils-linux/;
  // Above all rm: nothing is gone because it is not seen.
  await refused(t, bed, ['monitor', 'ls', 'stat', 'flatten', 'rm'], 'notFound', says);
});

t.test('programs that are missing', { skip }, async (t) => {
  const script = writeLogin(t);
  const bed = await makeBed(t, { sshdConfig: `ForceCommand ${script}` });
  const hide = (host: string, ...names: string[]): void =>
    writeFileSync(join(script, '..', `hide.${bed.world.ssh.port(host)}`), names.join(' '));

  hide('server', 'rsync');
  await refused(t, bed, ['backup'], 'notFound', /^the backup server has no rsync \(on .*\)\. Install rsync/);
  await works(t, bed, ['monitor', 'ls', 'stat', 'download of a full', 'download of a chain']);
  hide('server', 'qemu-img');
  await refused(t, bed, ['flatten', 'download of a chain'], 'notFound', /^the backup server has no qemu-img \(on /);
  await works(t, bed, ['monitor', 'ls', 'download of a full', 'backup']);
  hide('server', 'flock', 'setsid');
  await refused(t, bed, ['backup', 'flatten', 'rm'], 'notFound', /has no flock and no setsid \(on .*util-linux/);
  hide('server');
  hide('host1', 'rsync');
  const failed = await (bed.actions.backup as () => Promise<Ended>)();
  t.equal(failed.stdout, '');
  failsWith(
    t,
    failed,
    'notFound',
    /the program rsync is missing on the host|program rsync is missing \(on host1\)/,
    'backup',
  );
  t.equal(bed.world.traits.stored(bed.world.repository(1)).length, 4);
  hide('host1', 'openssl');
  await works(t, bed, ['backup']);
  await works(t, bed, ['flatten', 'rm']);
  t.strictSame(bed.world.traits.leftovers(bed.world.repository(1)), []);
});

t.test('a server on which the login may not write', { skip }, async (t) => {
  const script = writeLogin(t);
  const bed = await makeBed(t, { sshdConfig: `ForceCommand ${script}` });
  writeFileSync(join(script, '..', `nobody.${bed.world.ssh.port('server')}`), '');
  const { datastore, folder: top } = bed.world;
  for (let folder = datastore; folder.startsWith(top); folder = join(folder, '..')) chmodSync(folder, 0o755);
  const says = /permission denied|no permission/i;
  await refused(t, bed, ['backup', 'flatten', 'rm'], 'failed', says);
  await works(t, bed, ['monitor', 'ls', 'stat']);
  rmSync(bed.world.datastore, { recursive: true });
  mkdirSync(bed.world.datastore);
  await refused(t, bed, ['backup'], 'notFound', /which this one builds on, is gone/);
  await refused(t, bed, ['first backup'], 'failed', says);
});
