import type { AbsolutePath } from '../opennebula/ids';
import { type Command, nothing } from './command';

/** Copies a file without copying its data (cp(1), "--reflink"). Returns whether the filesystem can do that. */
export function copyReflinked(from: AbsolutePath, to: AbsolutePath): Command<boolean> {
  return {
    argv: ['cp', '--reflink=always', '-T', '--', from, to],
    purpose: `copy ${from} without its data`,
    parse: ({ exitCode }) => exitCode === 0,
    dryRun: false,
    accept: [1],
  };
}

/** Has the disk write what a folder's files hold. */
export function flush(files: readonly AbsolutePath[]): Command<undefined> {
  return { argv: ['sync', '--', ...files], purpose: 'write to the disk', parse: nothing, dryRun: undefined };
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
