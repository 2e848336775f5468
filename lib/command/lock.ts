import { DriverError } from '../errors';
import { type AbsolutePath, joinPath } from '../opennebula/ids';
import { type Command, nothing } from './command';

/** The exit code of flock(1) when the lock was not to be had in time, as it is told to. */
const NOT_HAD = 75;

/** The folder in a locked one that is locked, too, by each program that writes: those of a dead action may end a moment later. */
const WRITERS = 'writers';

const SCRIPT = `
mkdir -p -m 700 -- "$1/${WRITERS}" && exec 9<"$1" || exit 1
flock --exclusive --wait "$2" --conflict-exit-code ${NOT_HAD} 9 || exit $?
flock --exclusive --wait 30 --conflict-exit-code ${NOT_HAD} "$1/${WRITERS}" true || exit $?
trap 'exit 0' TERM INT HUP
echo locked
while :; do sleep 3600 9<&- >/dev/null 2>&1 & wait $!; done`;

/** A command that nobody who has the lock after us can meet: it counts as a writer for as long as it lives. */
export function asWriter<T>(lock: AbsolutePath, command: Command<T>): Command<T> {
  return { ...command, argv: ['flock', '--no-fork', '--shared', joinPath(lock, WRITERS), ...command.argv] };
}

/**
 * Locks a folder, which it makes, until it is stopped; the kernel gives the lock up with the program. Its one line is
 * `locked`. Throws `locked` when somebody else has the lock for longer than that.
 */
export function holdLock(folder: AbsolutePath, waitSeconds: number): Command<undefined> {
  return {
    argv: ['sh', '-c', SCRIPT.trim(), 'one-backup-lock', folder, String(waitSeconds)],
    purpose: `lock ${folder}`,
    parse: nothing,
    dryRun: undefined,
    ignoreStalls: true,
    classify: ({ exitCode }, host) =>
      exitCode === NOT_HAD
        ? new DriverError('locked', `another action has worked on this VM for more than ${waitSeconds} s`, {
            host,
            hint: `See who holds it: fuser -v ${folder}`,
          })
        : undefined,
  };
}

/** Whether somebody has the lock of a folder, or writes by leave of it. */
export function isLocked(folder: AbsolutePath): Command<boolean> {
  const script = `for one in "$1" "$1/${WRITERS}"; do
  [ ! -e "$one" ] || flock --nonblock --exclusive --conflict-exit-code ${NOT_HAD} "$one" true || exit $?; done`;
  return {
    argv: ['sh', '-c', script, 'one-backup-is-locked', folder],
    purpose: `see whether somebody has locked ${folder}`,
    parse: ({ exitCode }) => exitCode === NOT_HAD,
    dryRun: false,
    accept: [NOT_HAD],
  };
}
