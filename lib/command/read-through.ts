import { DriverError } from '../errors';
import type { AbsolutePath } from '../opennebula/ids';
import { type Command, nothing } from './command';

/** What a program says of data that is not what was written (errno(3), EIO). */
export const IO_ERROR = 'Input/output error';

const AT_ONCE = 'shift; exec cat -- "$@" >/dev/null';

/** Reads a piece, waits until the second is over, reads the next. */
const SLOWLY = `
pieces=$((($1 + 63) / 64)); shift
for file; do
  bytes=$(stat -L -c %s -- "$file") || exit 1
  while [ "$bytes" -gt 0 ]; do
    dd bs=64k count="$pieces" iflag=fullblock of=/dev/null status=none || exit 1
    bytes=$((bytes - pieces * 65536))
    [ "$bytes" -le 0 ] || sleep 1
  done <"$file" || exit 1
done`;

/**
 * Reads all of some files, on a filesystem that knows by itself what it wrote; `limitKib`: no more than so many KiB in a
 * second. Throws `damaged` when one cannot be read.
 */
export function readThrough(files: readonly AbsolutePath[], limitKib: number | undefined): Command<undefined> {
  const script = limitKib === undefined ? AT_ONCE : SLOWLY.trim();
  return {
    argv: ['sh', '-c', script, 'one-backup-read', String(limitKib ?? 0), ...files],
    env: { LC_ALL: 'C' },
    purpose: 'read the files',
    parse: nothing,
    dryRun: undefined,
    classify: ({ stderr }, host) =>
      stderr.includes(IO_ERROR) ? new DriverError('damaged', `it cannot be read: ${IO_ERROR}`, { host }) : undefined,
  };
}
