/** How often the one who started a command says that it is still there, in seconds. */
export const HEARTBEAT_SECONDS = 10;
/** What a heartbeat says: all is well, or that the reader of the output is slow, so that a pause is no stall. */
export const HEARTBEAT = { well: 'well', slowReader: 'slow' } as const;
/** How long a supervisor waits for a heartbeat before it takes the connection for dead, in seconds. */
const HEARTBEAT_LIMIT_SECONDS = 60;
/** How long a program may take to clean up after its soft signal before SIGKILL, in seconds. Cancel has 10 s in all. */
const GRACE_SECONDS = 3;

/** A program that reads fewer bytes than this between two heartbeats stands still: a hung restic still reads a few a second. */
const IDLE_BYTES = 256;

/** Exit codes of the supervisor itself, outside of those that the supervised programs use. */
export const SUPERVISOR_EXIT = { stopped: 120, stalled: 121 } as const;

/** The name of the environment variable by which backup_cancel finds every process of a backup. */
export const MARKER = 'ONE_BACKUP_ACTION';

/** Names, on the front-end, the folder in which OpenNebula keeps its own build of the engine's program. */
export const PROGRAMS_VARIABLE = 'ONE_BACKUP_PROGRAMS';

/**
 * Where programs are found: in PATH, and before that restic where OpenNebula keeps its own build (contract, "Backup URLs").
 * That folder holds the driver's actions too - rm, ls, cp - and must never be in PATH itself.
 * Anybody can make a folder in /var/tmp: what is there counts only where all of it belongs to root or to who runs this.
 */
const SEARCH = `PATH=$PATH:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin; export PATH
is_ours() {
  for place in one one/datastore one/datastore/restic one/datastore/restic/restic; do
    place=/var/tmp/$place
    [ ! -O "$place" ] || [ -L "$place" ] || continue
    owners=$(stat -c %u "$place" && stat -L -c %u "$place") || return 1
    for owner in $owners; do [ "$owner" = 0 ] || [ "$owner" = "$(id -u)" ] || return 1; done
  done
}
own=
for folder in "\${${PROGRAMS_VARIABLE}:-/var/tmp/one/datastore/restic}" /var/tmp/one/datastore/restic; do
  if [ -z "$own" ] && [ -f "$folder/restic" ] && [ -x "$folder/restic" ]; then
    [ "$folder" = /var/tmp/one/datastore/restic ] && ! is_ours || own=$folder/restic
  fi
done`;

/**
 * What of restic's environment (restic manual, "Environment Variables") a host may have for backups of its own: a password
 * file would win over our password, another repository contradict ours. RESTIC_CACHE_DIR is the host's to choose.
 */
const FOREIGN_SETTINGS = [
  ...['PASSWORD', 'PASSWORD_FILE', 'PASSWORD_COMMAND', 'KEY_HINT', 'REPOSITORY', 'REPOSITORY_FILE', 'HOST'],
  ...['COMPRESSION', 'PACK_SIZE', 'READ_CONCURRENCY', 'FEATURES', 'CACERT', 'TLS_CLIENT_CERT', 'PROGRESS_FPS'],
].map((name) => `RESTIC_${name}`);

/** What a supervisor that had to find out says on stderr of setpriv(1): that of util-linux before 2.33 has no --pdeathsig. */
const BINDS_ANSWER = 'one-backup-supervisor: binds=';

/**
 * Runs one program so that it cannot outlive who asked for it. A constant: nothing is ever inserted into it.
 * Arguments: seconds without any I/O after which the program counts as stalled (0: never), the signal on which the
 * program cleans up after itself, what is known of setpriv there, then the program and its arguments.
 * Stdin: lines `NAME=value` for the environment, an empty line, then a line every few seconds for as long as the
 * program is wanted. At end of file, after silence, and on TERM, the program gets that signal and, if it has not ended
 * after some seconds, SIGKILL. Should the supervisor itself be killed, the kernel ends the program (prctl(2), PR_SET_PDEATHSIG).
 * (dash's kill knows no `-SIG --`, hence `-s`; a shell starts background programs with SIGINT ignored, which only those heed that ask for it.)
 * Only the program itself gets the soft signal: restic needs its ssh, which is in the same process group, to remove its lock.
 * A stall is read off /proc/PID/io (proc(5)), from what the program reads: files, and the answers of its server. A shell
 * that waits reads nothing, and the kernel adds a child's numbers to its own only when that has ended: of a shell, and of
 * others that leave the work to children, all that it started counts. Of restic its ssh does not: that goes on reading
 * until every buffer on the way is full.
 * A program with file capabilities shows no such numbers: it has no stall limit, nor the kernel's last word.
 */
const SCRIPT = `
stall=$1 soft=$2 binds=$3; shift 3
ulimit -c 0
${SEARCH}
for word; do
  shift
  if [ "$word" = systemd-run ]; then XDG_RUNTIME_DIR=\${XDG_RUNTIME_DIR:-/run/user/$(id -u)}; export XDG_RUNTIME_DIR; fi
  if [ "$word" = restic ]; then
    unset ${FOREIGN_SETTINGS.join(' ')}
    [ -z "$own" ] || word=$own own=
  fi
  set -- "$@" "$word"
done
while IFS= read -r pair && [ -n "$pair" ]; do export "$pair"; done
exec 3<&0 </dev/null
if [ "$binds" = unknown ]; then
  setpriv --pdeathsig TERM --version >/dev/null 2>&1 && binds=yes || binds=no
  echo "${BINDS_ANSWER}$binds" >&2
fi
die_with_us=
[ "$binds" = no ] || die_with_us='setpriv --pdeathsig TERM'
reason=
setsid $die_with_us "$@" 3<&- &
child=$!
stop() {
  [ -z "$reason" ] || return 0
  reason=$1
  kill -s $soft $child 2>/dev/null
  ( n=0; while [ $n -lt ${GRACE_SECONDS * 5} ] && kill -0 $child 2>/dev/null; do sleep 0.2; n=$((n + 1)); done
    kill -s KILL -- -$child ) >/dev/null 2>&1 3<&- &
}
moved() {
  IFS= read -r first 2>/dev/null </proc/$child/io || return 0
  all= sum=0
  set -- $child
  case $(cat /proc/$child/comm) in sh | dash | bash | ash | busybox | sudo | virt-sparsify) ;; *) all=$child; shift ;; esac
  while [ $# -gt 0 ]; do
    all="$all $*" next=
    for pid; do next="$next $(cat /proc/$pid/task/*/children 2>/dev/null)"; done
    set -- $next
  done
  for pid in $all; do
    while read -r name bytes; do
      [ $name != rchar: ] || sum=$((sum + bytes))
    done 2>/dev/null </proc/$pid/io
  done
  echo $sum
}
trap 'stop ${SUPERVISOR_EXIT.stopped}' TERM INT HUP
trap 'stop ${SUPERVISOR_EXIT.stalled}' USR1
( idle=0; before=0
  while :; do
    timeout ${HEARTBEAT_LIMIT_SECONDS} sh -c 'IFS= read -r beat || exit 1; [ "$beat" != ${HEARTBEAT.slowReader} ] || exit 3'
    case $? in 0) ;; 3) idle=0; continue ;; *) break ;; esac
    now=$(moved)
    [ -n "$now" ] || { idle=0; continue; }
    if [ $((now - before)) -lt ${IDLE_BYTES} ]; then idle=$((idle + ${HEARTBEAT_SECONDS})); else idle=0; fi
    before=$now
    if [ $stall -gt 0 ] && [ $idle -ge $stall ]; then kill -s USR1 $$; exit; fi
  done
  kill -s TERM $$ ) <&3 >/dev/null 2>&1 &
watcher=$!
exec 3<&-
while :; do
  wait $child; code=$?
  kill -0 $child 2>/dev/null || break
done
kill $watcher 2>/dev/null
exit \${reason:-$code}
`;

/** Whether setpriv of a host can bind a program to its supervisor. Finding out takes starting it once more. */
export type Binds = 'unknown' | 'yes' | 'no';

/** Reads what a supervisor found out of that, and what else stands on stderr. */
export function bindsAnswer(stderr: string): { readonly binds: Binds; readonly rest: string } {
  let binds: Binds = 'unknown';
  const rest = stderr.replace(new RegExp(`^${BINDS_ANSWER}(yes|no)\\n`, 'm'), (_, found: Binds) => {
    binds = found;
    return '';
  });
  return { binds, rest };
}

/** How a program is supervised. */
export interface Supervision {
  /** Seconds without any I/O after which it is stopped; 0: never. */
  readonly stallSeconds: number;
  /** The signal on which it cleans up after itself: restic removes its lock on SIGINT. */
  readonly softSignal: 'INT' | 'TERM';
  readonly binds: Binds;
  /** By what backup_cancel finds it, if it belongs to a backup. */
  readonly marker: string | undefined;
}

/** Returns the argv that runs a program under the supervisor. */
export function supervised(argv: readonly string[], how: Supervision): [string, ...string[]] {
  const settings = [String(how.stallSeconds), how.softSignal, how.binds];
  const run: [string, ...string[]] = ['sh', '-c', SCRIPT.trim(), 'one-backup-supervisor', ...settings, ...argv];
  return how.marker === undefined ? run : ['env', `${MARKER}=${how.marker}`, ...run];
}

/** Returns what the supervisor reads first: the environment, secrets among it. Values hold no newline. */
export function supervisorPreamble(env: Readonly<Record<string, string>>): string {
  return `${Object.entries(env)
    .map(([name, value]) => `${name}=${value}\n`)
    .join('')}\n`;
}

const LOOK_FOR = `${SEARCH}
for name; do
  if command -v "$name" >/dev/null || { [ "$name" = restic ] && [ -n "$own" ]; }; then echo "has $name"; fi
done
exit 0`;

/** Returns the argv that tells, a line each, which of these programs there are: `has restic`. */
export function lookFor(names: readonly string[]): [string, ...string[]] {
  return ['sh', '-c', LOOK_FOR, 'one-backup-look', ...names];
}

/** Reads the answer; anything else, such as the greeting of an account without a shell, names no program. */
export function parseFound(stdout: string, names: readonly string[]): ReadonlySet<string> {
  const lines = new Set(stdout.split('\n'));
  return new Set(names.filter((name) => lines.has(`has ${name}`)));
}
