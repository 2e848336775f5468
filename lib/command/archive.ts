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

/** Takes all rights on a file from everybody but its owner. */
export function makePrivate(file: AbsolutePath): Command<undefined> {
  return {
    argv: ['chmod', '600', '--', file],
    purpose: 'make the merged disk private',
    parse: nothing,
    dryRun: undefined,
  };
}
