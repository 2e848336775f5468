import { DriverError } from '../errors';
import type { AbsolutePath } from '../opennebula/ids';
import { type Command, nothing } from './command';

/** The exit code of flock(1) when the lock was not to be had in time, as it is told to. */
const NOT_HAD = 75;

const SCRIPT = `
mkdir -p -m 700 -- "$1" && exec 9<"$1" || exit 1
flock --exclusive --wait "$2" --conflict-exit-code ${NOT_HAD} 9 || exit $?
trap 'exit 0' TERM INT HUP
echo locked
while :; do sleep 3600 9<&- >/dev/null 2>&1 & wait $!; done`;

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
