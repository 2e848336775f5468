import { DriverError } from '../errors';
import type { Outcome } from './command';

/**
 * Recognises why zfs(8) failed, by its words; they were observed with OpenZFS 2.3. Returns undefined for what is not known.
 */
export function explainZfsFailure(
  { exitCode, stderr }: Outcome,
  host: string,
  purpose: string,
  sudo: boolean,
): DriverError | undefined {
  const said = (stderr.split('\n').find((line) => line.trim() !== '') ?? '').trim();
  const cannot = `cannot ${purpose}`;
  const error = (kind: 'notFound' | 'failed' | 'noSpace' | 'locked', what: string, hint: string): DriverError =>
    new DriverError(kind, `${cannot}: ${what}`, { host, hint });
  if (/^sudo: .*(password is required|not allowed|may not run)|is not in the sudoers file/im.test(stderr)) {
    return error('failed', `sudo refuses zfs: ${said}`, 'Put the lines of the README into /etc/sudoers.d there');
  }
  if (exitCode === 127 || /zfs: (command )?not found|sudo: zfs: command not found/.test(stderr)) {
    return error('notFound', 'there is no zfs', 'Install OpenZFS there: apt install zfsutils-linux');
  }
  if (/ZFS modules? (?:cannot be auto-loaded|are not loaded)|\/dev\/zfs/.test(stderr)) {
    return error('failed', `ZFS is not loaded: ${said}`, 'Run there as root: modprobe zfs');
  }
  if (/dataset does not exist|could not find any snapshots|no such pool/.test(stderr))
    return error('notFound', said, 'See there: zfs list');
  if (/permission denied/i.test(stderr)) {
    const hint = sudo
      ? 'Put the lines of the README into /etc/sudoers.d there'
      : 'Give the right there, see "zfs allow" in the README, or set ZFS_SUDO = YES';
    return error('failed', said, hint);
  }
  if (/dataset is busy|snapshot is busy|pool or dataset is busy/.test(stderr))
    return error('locked', said, 'See there who uses it: fuser -vm MOUNTPOINT; zfs holds SNAPSHOT');
  if (/out of space|no space left|quota exceeded|disc quota/i.test(stderr)) {
    return error('noSpace', said, 'Free some space there, raise the quota, or remove old backups');
  }
  if (/read-?only/i.test(stderr)) return error('failed', said, 'Make it writable there: zfs set readonly=off DATASET');
  if (/suspended/.test(stderr)) return error('failed', said, 'See there: zpool status; then zpool clear POOL');
  return undefined;
}
