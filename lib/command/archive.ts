import type { AbsolutePath } from '../opennebula/ids';
import { type Command, nothing } from './command';

/** Packs files of a folder, in that order, into a compressed archive: the form in which Ceph's cp takes exports of rbd. */
export function pack(folder: AbsolutePath, names: readonly string[], archive: AbsolutePath): Command<undefined> {
  return {
    argv: ['tar', '--create', '--gzip', `--file=${archive}`, `--directory=${folder}`, '--', ...names],
    purpose: 'pack the exports',
    parse: nothing,
    dryRun: undefined,
  };
}

/** The same, of files in different folders, to stdout. Each name stands alone in the archive. */
export function packFrom(files: readonly AbsolutePath[]): Command<undefined> {
  const parts = files.flatMap((path) => {
    const at = path.lastIndexOf('/');
    return [`--directory=${path.slice(0, at) || '/'}`, `./${path.slice(at + 1)}`];
  });
  return {
    argv: ['tar', '--create', '--gzip', '--file=-', '--transform=s,^[.]/,,', ...parts],
    purpose: 'pack the exports',
    parse: nothing,
    dryRun: undefined,
  };
}

/** Writes a file to stdout. */
export function concatenate(file: AbsolutePath): Command<undefined> {
  return { argv: ['cat', '--', file], purpose: `read ${file}`, parse: nothing, dryRun: undefined };
}
