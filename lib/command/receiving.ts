import type { AbsolutePath } from '../opennebula/ids';
import { type Command, nothing } from './command';
import { quote } from './quote';

/**
 * The folders of a VM on a backup server that gives a shell. What is not complete has a name that begins with a dot and
 * is locked by whoever works on it (flock(1)): the kernel gives the lock up with its holder, so what is not locked is dead.
 */
export const RECEIVING = '.receiving-';
export const MERGING = '.merging-';
/** What is being removed, and is no backup any more. */
export const REMOVING = '.removing-';

/** A file that may be continued in what a dead transfer left, and how long it will be. */
export interface Resumable {
  readonly name: string;
  readonly sizeBytes: number;
}

/** Removes folders of the VM that somebody dead was filling, and what is still to be removed. In: the folder of the VM. */
const SWEEP = `
sweep() {
  for old in ./${RECEIVING}* ./${MERGING}*; do
    [ -d "$old" ] && [ ! -L "$old" ] && flock --nonblock --exclusive "$old" rm -rf -- "$old" 2>/dev/null
  done
  rm -rf -- ./${REMOVING}*
}`;

/**
 * Makes a folder, or takes over that of a dead transfer, and keeps it locked until it is told to end. Of what is taken
 * over only the files stay that will be continued, each at least a byte shorter than it will be (rsync(1) passes over a
 * file that has its length already). The lock on the VM's folder makes finding out and taking one step.
 * Arguments: the folder of the VM, the name of the new one, then NAME:BYTES of each file. Says "ready", or "resume".
 * While it waits it has the disk write what has come, so that little is left to wait for at the end.
 */
const HOLD = `
umask 077
trap 'exit 0' TERM INT HUP
mkdir -p -- "$1" && cd -- "$1" || exit 1
new=$2 said=ready; shift 2
exec 8<. && flock --exclusive 8 || exit 1
if [ $# -gt 0 ]; then
  for old in ./${RECEIVING}*; do
    [ -d "$old" ] && [ ! -L "$old" ] && flock --nonblock --exclusive "$old" mv -T -- "$old" "./$new" && said=resume && break
  done 2>/dev/null
fi
if [ $said = ready ]; then mkdir -- "./$new" || exit 1; fi
exec 9<"./$new" && flock --nonblock --shared 9 || exit 1
${SWEEP.trim()}
sweep 8<&- 9<&-
exec 8<&-
cd -- "./$new" || exit 1
for file in ./* ./.[!.]*; do
  keep=
  for one; do
    [ "./\${one%:*}" = "$file" ] && [ -f "$file" ] && [ ! -L "$file" ] && truncate -s "<$((\${one##*:} - 1))" -- "$file" && keep=1
  done
  [ -n "$keep" ] || rm -rf -- "$file"
done
printf '%s\\n' $said
while :; do sleep 2 9<&- >/dev/null 2>&1 & wait $!; sync --data -- ./disk.* 9<&- 2>/dev/null; done`;

/** Holds a folder to receive into. Runs until it is stopped; its one line is `ready`, or `resume` with what was left. */
export function holdReceiving(folder: AbsolutePath, source: string, files: readonly Resumable[]): Command<undefined> {
  const resumable = files.filter(({ sizeBytes }) => sizeBytes > 0).map(({ name, sizeBytes }) => `${name}:${sizeBytes}`);
  return hold([folder, `${RECEIVING}${source}`, ...resumable], 'make a folder to receive into');
}

/** Holds a folder to merge into. */
export function holdMerging(folder: AbsolutePath, source: string): Command<undefined> {
  return hold([folder, `${MERGING}${source}`], 'make a folder to merge into');
}

function hold(args: readonly string[], purpose: string): Command<undefined> {
  return {
    argv: ['sh', '-c', HOLD.trim(), 'one-backup-hold', ...args],
    purpose: `${purpose} in ${args[0]}`,
    parse: nothing,
    dryRun: undefined,
    ignoreStalls: true,
  };
}

/** The program by which rsync(1) starts itself on the server: it holds the folder, too, for as long as it may write there. */
export function receiver(folder: AbsolutePath): string {
  return quote(['flock', '--shared', `${folder}/.`, 'rsync']); // flock(1) makes a file where there is nothing, but not of that name
}

/** Makes a complete folder visible under its final name, once the disk has all of it. */
export function publish(folder: AbsolutePath, from: string, to: string): Command<undefined> {
  const script = 'cd -- "$1" && sync -- "./$2"/* "./$2" && mv -T -- "./$2" "./$3" && sync -- .';
  return inFolder(script, 'one-backup-publish', [folder, from, to], `make ${to} visible`);
}

/**
 * Takes back what failed: the backup if it became visible after all, and the folder that was filled, as soon as nobody
 * writes there any more; `filled` undefined: that one stays, to be gone on with.
 */
export function takeBack(folder: AbsolutePath, source: string, filled: string | undefined): Command<undefined> {
  const script = `
[ -e "$1" ] || exit 0
cd -- "$1" || exit 1
if [ -d "./$2" ]; then mv -T -- "./$2" "./${REMOVING}$2" && rm -rf -- "./${REMOVING}$2"; fi
[ -z "$3" ] || [ ! -d "./$3" ] || flock --wait 3 --exclusive "./$3" rm -rf -- "./$3"`;
  return inFolder(
    script.trim(),
    'one-backup-take-back',
    [folder, source, filled ?? ''],
    'take the unfinished backup back',
  );
}

/** Removes backups of a VM: each is gone from sight in one step. What is not there is fine. Sweeps what dead actions left. */
export function removeBackups(folder: AbsolutePath, sources: readonly string[]): Command<undefined> {
  const script = `
[ -e "$1" ] || exit 0
cd -- "$1" || exit 1; shift
for source; do
  [ -e "./$source" ] || continue
  rm -rf -- "./${REMOVING}$source" && mv -T -- "./$source" "./${REMOVING}$source" || exit 1
done
sync -- .
${SWEEP.trim()}
exec 8<. && flock --exclusive 8 && sweep 8<&-`;
  return inFolder(script.trim(), 'one-backup-remove', [folder, ...sources], 'remove the backups');
}

function inFolder(script: string, name: string, args: readonly string[], purpose: string): Command<undefined> {
  return { argv: ['sh', '-c', script, name, ...args], purpose, parse: nothing, dryRun: undefined };
}
