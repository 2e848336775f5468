import { DriverError } from '../errors';
import type { AbsolutePath } from '../opennebula/ids';
import { type Command, nothing } from './command';

/** How long somebody else may need to do the same, in seconds; it takes a moment. */
const WAIT_SECONDS = 60;
/** The exit codes of the script: as flock(1) is told to, and for a folder that stays empty. */
const NOT_HAD = 75;
const NOT_MOUNTED = 74;

const SCRIPT = `
exec 9<"$1" || exit 1
flock --exclusive --wait ${WAIT_SECONDS} --conflict-exit-code ${NOT_HAD} 9 || exit $?
for pause in 0.2 0.5 1 2; do
  [ -d "$2" ] || exit 0
  [ -z "$(ls -A -- "$2" 2>/dev/null)" ] || exit 0
  sleep $pause
done
[ -n "$(ls -A -- "$2")" ] || exit ${NOT_MOUNTED}`;

/**
 * Has the kernel mount a snapshot, which it does when somebody first looks into its folder; one that is not there is fine.
 * One at a time, by a lock on the filesystem's own folder: the module of OpenZFS 2.3 panics when two do that at once
 * (openzfs/zfs#16685; seen with 2.3.9), and then nobody can read any snapshot until the machine is started anew. Where
 * mounting fails, or somebody else is just unmounting, the folder seems to be there and empty (zfs_ctldir.c): that says
 * nothing about the snapshot, so it is tried again. Throws `failed` when it stays empty or another one hangs.
 */
export function openSnapshot(mountpoint: AbsolutePath, folder: AbsolutePath): Command<undefined> {
  return {
    argv: ['sh', '-c', SCRIPT.trim(), 'one-backup-open', mountpoint, folder],
    purpose: `open ${folder}`,
    parse: nothing,
    dryRun: undefined,
    classify: ({ exitCode }, host) => {
      const refused = (what: string): DriverError =>
        new DriverError('failed', `cannot read ${folder}: ${what}`, {
          host,
          hint: 'Run it again; if it stays so, see there what the kernel says of zfs: dmesg; after a panic only a restart helps',
        });
      if (exitCode === NOT_HAD) return refused(`another program has hung in it for more than ${WAIT_SECONDS} s`);
      return exitCode === NOT_MOUNTED ? refused('the kernel does not mount the snapshot') : undefined;
    },
  };
}

const IS_OTHERS = `
exec 9<"$1" || exit 1
flock --exclusive --wait ${WAIT_SECONDS} 9 && [ -d "$2" ] || exit 0
case $(cd -- "$2" 2>&1) in *'ermission denied') echo yes; exit ;; esac
cd -- "$2" || exit 0
[ -O . ] || [ "$(stat -c %d .)" = "$(stat -c %d ..)" ] || echo yes`;

/** Whether a snapshot's own folder belongs to somebody else; one that is not there, or cannot be mounted, does to nobody. */
export function isOthersSnapshot(mountpoint: AbsolutePath, folder: AbsolutePath): Command<boolean> {
  return {
    argv: ['sh', '-c', IS_OTHERS.trim(), 'one-backup-owner', mountpoint, folder],
    env: { LC_ALL: 'C' },
    purpose: `see whose ${folder} is`,
    parse: ({ stdout }) => stdout.trim() === 'yes',
    dryRun: false,
  };
}
