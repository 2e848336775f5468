import { DriverError } from '../errors';
import type { Outcome } from './command';
import type { ZfsAccess } from './zfs';
import { NEEDED } from './zfs-rights';

/** Why zfs does not roll back: what is newer would be destroyed. */
export const NEWER_EXIST = 'more recent snapshots or bookmarks exist';

/**
 * Recognises why zfs(8) failed, by its words; they were observed with OpenZFS 2.3. Returns undefined for what is not known.
 */
export function explainZfsFailure(
  { exitCode, stderr }: Outcome,
  host: string,
  purpose: string,
  access: ZfsAccess | undefined,
): DriverError | undefined {
  const said = (stderr.split('\n').find((line) => line.trim() !== '') ?? '').trim();
  const cannot = `cannot ${purpose}`;
  const error = (
    kind: 'notFound' | 'noProgram' | 'failed' | 'noSpace' | 'locked',
    what: string,
    hint: string,
  ): DriverError => new DriverError(kind, `${cannot}: ${what}`, { host, hint });
  if (/^sudo: .*(password is required|not allowed|may not run)|is not in the sudoers file/im.test(stderr)) {
    const line = `${access?.user} ALL=(root) NOPASSWD: /usr/sbin/zfs`;
    const hint = `Run there as root: echo '${line}' >>/etc/sudoers.d/backups; the README has narrower lines`;
    return error('failed', `sudo refuses zfs: ${said}`, hint);
  }
  if (exitCode === 127 && access?.sudo) {
    return error(
      'failed',
      'there is no sudo',
      'Install it there: apt install sudo; the README says what it must allow',
    );
  }
  if (exitCode === 127 || /zfs: (command )?not found|sudo: zfs: command not found/.test(stderr)) {
    return error('noProgram', 'there is no zfs', 'Install OpenZFS there: apt install zfsutils-linux');
  }
  if (exitCode === 1 && said === '') {
    return error('failed', 'it says nothing', 'If that login gives SFTP only: the driver needs a POSIX shell there');
  }
  if (/ZFS modules? (?:cannot be auto-loaded|are not loaded)|\/dev\/zfs/.test(stderr)) {
    return error('failed', `ZFS is not loaded: ${said}`, 'Run there as root: modprobe zfs');
  }
  if (/key not loaded/.test(stderr))
    return error('failed', said, 'Load the key of the encrypted dataset there: zfs load-key -r DATASET; zfs mount -a');
  if (/'?canmount'? property is set to 'off'/.test(stderr))
    return error('failed', said, 'Let it be mounted there: zfs set canmount=on DATASET');
  if (/dataset does not exist|could not find any snapshots|no such pool/.test(stderr)) {
    const [, dataset = 'DATASET'] = /cannot open '([^'@]+)'/.exec(said) ?? [];
    if (/'[^']*@|snapshot/.test(said)) return error('notFound', said, 'See there what is left: zfs list -t snapshot');
    // Those of datastores and VMs the driver makes itself; made by hand, one would hide that it is gone.
    const isOurs = /\/[0-9]+(?:\/[0-9]+)?$/.test(dataset);
    const otherwise = isOurs ? 'see whether it was renamed: zfs list' : `make it: zfs create ${dataset}`;
    return error('notFound', said, `Import its pool there (zpool import), or ${otherwise}`);
  }
  if (/permission denied/i.test(stderr)) {
    const { user, dataset } = access ?? {};
    const hint = `Run there as root: zfs allow ${user} ${NEEDED.join()} ${dataset}; or set ZFS_SUDO = YES`;
    return error('failed', said, hint);
  }
  if (stderr.includes(NEWER_EXIST)) return error('failed', said, 'See there: zfs list -t snapshot,bookmark DATASET');
  if (/dependent clones/.test(stderr))
    return error('failed', said, 'Promote or destroy the clone there; it is named by: zfs get -r clones DATASET');
  if (/being held/.test(stderr))
    return error('failed', said, 'Wait for whoever holds it, or release it there by hand: zfs release TAG SNAPSHOT');
  if (/dataset is busy|snapshot is busy|pool or dataset is busy/.test(stderr))
    return error('locked', said, 'See there who uses it: fuser -vm MOUNTPOINT; zfs holds SNAPSHOT');
  if (/out of space|no space left|quota exceeded|disc quota/i.test(stderr)) {
    return error('noSpace', said, 'Free some space there, raise the quota, or remove old backups');
  }
  if (/read-?only/i.test(stderr)) return error('failed', said, 'Make it writable there: zfs set readonly=off DATASET');
  if (/suspended/.test(stderr)) return error('failed', said, 'See there: zpool status; then zpool clear POOL');
  return undefined;
}
