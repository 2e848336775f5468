import type { Program } from './examination';

export const QEMU_IMG: Program = {
  name: 'qemu-img',
  package: 'qemu-utils',
  version: { args: ['--version'], least: [4] },
};
const RSYNC: Program = { name: 'rsync', package: 'rsync', version: { args: ['--version'], least: [3, 1, 3] } };

/** Of a server on which files are received, checked and merged. */
export const SERVER_PROGRAMS: readonly Program[] = [
  RSYNC,
  QEMU_IMG,
  ...['flock', 'setsid'].map((name) => ({ name, package: 'util-linux' })),
  ...['sync', 'truncate', 'timeout', 'stat', 'du'].map((name) => ({ name, package: 'coreutils' })),
  { name: 'find', package: 'findutils' },
  { name: 'awk', package: 'mawk' },
];

/** Of a host that sends files to it. */
export const SENDER_PROGRAMS: readonly Program[] = [RSYNC, { name: 'sha256sum', package: 'coreutils' }];

/** Of the machine on which disks are merged that are to be made sparse. */
export function sparsifyPrograms(isWanted: boolean): Program[] {
  const without = { state: 'warning' as const, says: 'merged disks are not made sparse' };
  return isWanted ? [{ name: 'virt-sparsify', package: 'guestfs-tools', without }] : [];
}
