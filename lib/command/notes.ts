import type { AbsolutePath } from '../opennebula/ids';
import { type Command, nothing } from './command';

/** Lists the notes in the folders of VMs, as `VM/SOURCE`; none where there is no such folder. What else lies there is passed over. */
export function findNotes(folder: AbsolutePath): Command<string[]> {
  return {
    argv: [
      'sh',
      '-c',
      '[ -e "$1" ] || exit 0; cd -- "$1" && find . -mindepth 2 -maxdepth 2 -type f -print0',
      'one-backup-notes',
      folder,
    ],
    purpose: `list the notes in ${folder}`,
    parse: ({ stdout }) =>
      stdout
        .split('\0')
        .map((line) => line.replace(/^\.\//, ''))
        .filter((path) => /^[0-9]{1,9}\/[0-9a-z]{1,64}$/.test(path)),
    dryRun: [],
  };
}

/** Removes notes, and the folder that they are in when it is empty then; what is not there is fine. */
export function removeNotes(folder: AbsolutePath, names: readonly string[]): Command<undefined> {
  const script =
    '[ -d "$1" ] || exit 0; cd -- "$1" && shift && rm -f -- "$@" && { rmdir -- "$PWD" 2>/dev/null; true; }';
  return {
    argv: ['sh', '-c', script, 'one-backup-forget', folder, ...names],
    purpose: names.length === 1 ? `forget ${names[0]}` : `forget ${names.length} backups`,
    parse: nothing,
    dryRun: undefined,
  };
}
