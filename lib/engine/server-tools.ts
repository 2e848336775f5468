import { DriverError } from '../errors';
import type { Host } from '../host/host';

/** What receiving, removing and publishing need on the backup server, beside rsync and qemu-img. */
const TOOLS = ['flock', 'sync', 'truncate', 'setsid'];

/** Checks that the backup server gives a shell with these programs. Throws `noProgram` that says which is missing. */
export async function needOnServer(server: Host, programs: readonly string[]): Promise<void> {
  const needed = [...programs, ...TOOLS];
  const found = await server.programs(needed);
  const missing = needed.filter((name) => !found.has(name));
  if (missing.length === 0) return;
  if (found.size === 0) {
    throw new DriverError('noProgram', 'the login on the backup server gives no shell, which this driver needs', {
      host: server.name,
      hint: 'Give that user a POSIX login shell there; for an SFTP-only server use the restic driver',
    });
  }
  throw new DriverError('noProgram', `the backup server has no ${missing.join(' and no ')}`, {
    host: server.name,
    hint: 'Install rsync, qemu-utils (qemu-img), util-linux and coreutils there, and for ZFS zfsutils-linux',
  });
}
