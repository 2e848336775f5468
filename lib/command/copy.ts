import type { AbsolutePath } from '../opennebula/ids';
import { type Command, nothing } from './command';

/** Copies a file, without copying its data where the filesystem can share it; holes stay holes (cp(1)). */
export function copyReflinked(from: AbsolutePath, to: AbsolutePath): Command<undefined> {
  return {
    argv: ['cp', '--reflink=auto', '--sparse=always', '-T', '--', from, to],
    purpose: `copy ${from}`,
    parse: nothing,
    dryRun: undefined,
  };
}

/** Gives a file a second name, or a copy where the filesystem knows no hard links. */
export function hardLink(from: AbsolutePath, to: AbsolutePath): Command<undefined> {
  return {
    argv: [
      'sh',
      '-c',
      'ln -T -- "$1" "$2" 2>/dev/null || cp --reflink=auto -T -- "$1" "$2"',
      'one-backup-link',
      from,
      to,
    ],
    purpose: `link ${from}`,
    parse: nothing,
    dryRun: undefined,
  };
}
