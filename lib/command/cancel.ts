import type { Command, Outcome } from './command';
import { MARKER } from './supervise';

/**
 * Ends the programs that carry a marker, and no others: first the supervisors, which let their program clean up, and
 * after a few seconds whatever is left. Argument: the marker, compared as a whole. Prints how many there were.
 */
const SCRIPT = `
marked() { grep -lzxF -- "$1" /proc/[0-9]*/environ 2>/dev/null | cut -d/ -f3; }
found=$(marked "$1")
set -- "$1" $found
echo $(($# - 1))
mark=$1
for pid in $found; do
  tr '\\0' ' ' 2>/dev/null </proc/$pid/cmdline | grep -q one-backup-supervisor && kill -s TERM $pid 2>/dev/null
done
n=0
while [ -n "$(marked "$mark")" ] && [ $n -lt 50 ]; do sleep 0.1; n=$((n + 1)); done
for pid in $(marked "$mark"); do kill -s KILL $pid 2>/dev/null; done
exit 0`;

/** Ends all programs of the backup with that marker on a host; the result is how many there were. */
export function endMarked(marker: string): Command<number> {
  return {
    argv: ['sh', '-c', SCRIPT.trim(), 'one-backup-cancel', `${MARKER}=${marker}`],
    purpose: 'end the programs of the backup',
    parse: ({ stdout }: Outcome) => Number.parseInt(stdout, 10) || 0,
    dryRun: 0,
  };
}
