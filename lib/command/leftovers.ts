import type { AbsolutePath } from '../opennebula/ids';
import { type Command, nothing } from './command';
import { MERGING, RECEIVING, REMOVING } from './receiving';

/** Something that a dead action left in a folder. */
export interface LeftFile {
  readonly path: string;
  readonly bytes: number;
  readonly modifiedMs: number;
  /** At least a byte of a disk has come: a folder alone takes room, too. */
  readonly holdsData: boolean;
}

/** Whether a file is there, as a shell on the host sees it. */
export function hasFile(path: AbsolutePath): Command<boolean> {
  return {
    argv: ['sh', '-c', '[ -f "$1" ] && echo yes; exit 0', 'one-backup-has-file', path],
    purpose: `look for ${path}`,
    parse: ({ stdout }) => stdout.trim() === 'yes',
    dryRun: true,
  };
}

/** The size and time of what is found to be dead: `BYTES<tab>SECONDS<tab>A DISK<tab>PATH`, a line each. */
const SAY = `
say() {
  disk=$(find "$1" -name 'disk.*' -size +0 -print -quit 2>/dev/null)
  printf "%s\\t%s\\t%s\\t%s\\n" "$(du -s -B1 -- "$1" | cut -f 1)" "$(stat -c %Y -- "$1")" "\${disk:+yes}" "$1"
}`;

const DEAD_FILLINGS = `
${SAY}
cd -- "$1" 2>/dev/null || exit 0
for old in ./*/${RECEIVING}* ./*/${MERGING}*; do
  [ -d "$old" ] && [ ! -L "$old" ] && flock --nonblock --exclusive "$old" true 2>/dev/null && say "$old"
done
for old in ./*/${REMOVING}*; do [ -d "$old" ] && say "$old"; done
exit 0`;

/** Lists what dead actions were filling or removing in the folders of VMs: nobody holds a lock on it. */
export function listDeadFillings(datastore: AbsolutePath): Command<LeftFile[]> {
  return listing([datastore], DEAD_FILLINGS, 'look for unfinished backups', datastore);
}

/** Removes such a folder, unless it is locked by now. */
export function removeDeadFilling(path: AbsolutePath): Command<undefined> {
  const script = '[ ! -d "$1" ] || flock --nonblock --exclusive "$1" rm -rf -- "$1"';
  return {
    argv: ['sh', '-c', script, 'one-backup-remove-left', path],
    purpose: `remove ${path}, which nobody may be using`,
    parse: nothing,
    dryRun: undefined,
  };
}

/** Temporary folders are named by the boot and the process that keeps them (temporary-folder.ts). */
const DEAD_TEMPORARIES = `
${SAY}
boot=$(cut -c 1-8 /proc/sys/kernel/random/boot_id)
for old in "$1"/one-backup-*-????????-*-????????; do
  [ -d "$old" ] && [ ! -L "$old" ] && [ -O "$old" ] || continue
  made=\${old%-????????}; pid=\${made##*-}; made=\${made%-*}
  if [ "\${made##*-}" != "$boot" ] || ! kill -s 0 "$pid" 2>/dev/null; then say "$old"; fi
done
exit 0`;

/** Lists the temporary folders of dead actions in a folder. */
export function listDeadTemporaries(parent: AbsolutePath): Command<LeftFile[]> {
  return listing([parent], DEAD_TEMPORARIES, `look for old temporary folders in ${parent}`, undefined);
}

/** Removes a folder that nobody keeps. */
export function removeTree(path: AbsolutePath): Command<undefined> {
  return { argv: ['rm', '-rf', '--', path], purpose: `remove ${path}`, parse: nothing, dryRun: undefined };
}

function listing(
  args: readonly string[],
  script: string,
  purpose: string,
  below: AbsolutePath | undefined,
): Command<LeftFile[]> {
  return {
    argv: ['sh', '-c', script.trim(), 'one-backup-left', ...args],
    purpose,
    dryRun: [],
    parse: ({ stdout }) =>
      stdout.split('\n').flatMap((line) => {
        const [bytes, seconds, disk, path] = line.split('\t');
        if (path === undefined) return [];
        const whole = below === undefined ? path : `${below}/${path.replace(/^\.\//, '')}`;
        const holdsData = disk !== '';
        return [{ path: whole, bytes: Number(bytes), modifiedMs: Number(seconds) * 1000, holdsData }];
      }),
  };
}
