import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Test } from 'tap';
import { ERROR_KINDS, type ErrorKind } from '../../lib/errors';
import type { Ended } from '../helpers/front-end';
import { hasEnded } from '../helpers/waits';

export const names = (folder: string): string[] => readdirSync(folder).sort();

/** Checks that an action failed as it should: by its code, and with one plain line. */
export function failsWith(t: Test, ended: Ended, kind: ErrorKind, says: RegExp, comment: string): void {
  t.strictSame([ended.code, ended.signal], [ERROR_KINDS[kind].exitCode, null], `${comment}: ${ended.stderr}`);
  const lines = ended.stderr.split('\n').filter((line) => line !== '' && !/^(INFO|DEBUG): /.test(line));
  t.equal(lines.length, 1, `${comment}: one plain line`);
  t.match(lines[0], /^[\x20-\x7e]+$/, comment);
  t.match(lines[0], says, comment);
}

/** Waits until the folder is empty: a restic that was still at work in it gets its time to end, also on a busy machine. */
export async function emptied(folder: string): Promise<string[]> {
  for (let waited = 0; waited < 60_000 && names(folder).length > 0; waited += 100) await sleep(100);
  return names(folder);
}

/** Mounts, says so, and unmounts when its stdin ends: also when the test is killed. Arguments: the folder, the size. */
const MOUNT = `mount -t tmpfs -o "size=$2,mode=0755" one-backup-test "$1" || exit 1
echo mounted; cat >/dev/null; umount -l "$1"`;

/** A filesystem of that size at a folder that exists; only root can mount one. */
export async function mountSmall(t: Test, folder: string, size: string): Promise<void> {
  const mount = spawn('sh', ['-c', MOUNT, 'mount', folder, size], {
    detached: true,
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const ended = once(mount, 'close');
  t.teardown(async () => {
    mount.stdin.end();
    await ended;
  });
  await Promise.race([once(mount.stdout, 'data'), ended]);
  if (hasEnded(mount)) throw new Error(`cannot mount a filesystem at ${folder}`);
}
