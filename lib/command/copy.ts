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

/** Copies files into a folder, over those that are there. */
export function copyInto(folder: AbsolutePath, files: readonly AbsolutePath[]): Command<undefined> {
  return {
    argv: ['cp', '--target-directory', folder, '--', ...files],
    purpose: `copy files into ${folder}`,
    parse: nothing,
    dryRun: undefined,
  };
}

const REMOVE_OTHERS = `
cd -- "$1" || exit 1; shift
for file in ./* ./.[!.]*; do
  [ ! -d "$file" ] || [ -L "$file" ] || continue
  keep=
  for name; do [ "./$name" = "$file" ] && keep=1; done
  [ -n "$keep" ] || rm -f -- "$file" || exit 1
done`;

/** Removes from a folder all files but those with these names. A folder in it is not ours: something may be mounted there. */
export function removeOthers(folder: AbsolutePath, names: readonly string[]): Command<undefined> {
  return {
    argv: ['sh', '-c', REMOVE_OTHERS.trim(), 'one-backup-remove-others', folder, ...names],
    purpose: `remove what does not belong into ${folder}`,
    parse: nothing,
    dryRun: undefined,
  };
}

const RESTORE = `
from=$1 to=$2 last=$3
bring() { cp --reflink=auto --sparse=auto -T -- "$1" "$to/.restored" && mv -T -- "$to/.restored" "$to/$1"; }
cd -- "$from" && [ -f "$last" ] || { echo "$from holds no $last" >&2; exit 1; }
rm -f -- "$to/$last" || exit 1
for file in ./*; do
  [ ! -f "$file" ] || [ "$file" = "./$last" ] || bring "$file" || exit 1
done
cd -- "$to" || exit 1
for file in ./* ./.[!.]*; do [ -e "$from/$file" ] || [ -d "$file" ] || rm -f -- "$file" || exit 1; done
cd -- "$from" && bring "$last"`;

/**
 * Brings the files of a folder to those that another one holds; where the filesystem can share data, nothing is copied.
 * The file `last`, which says what the others are, is away until they are all there.
 */
export function restoreFrom(from: AbsolutePath, to: AbsolutePath, last: string): Command<undefined> {
  return {
    argv: ['sh', '-c', RESTORE.trim(), 'one-backup-restore', from, to, last],
    purpose: `bring ${to} back to ${from}`,
    parse: nothing,
    dryRun: undefined,
  };
}
