import type { AbsolutePath } from '../opennebula/ids';
import { type Command, nothing } from './command';

/** The programs without which no disk can be looked into, and the package that brings both. */
export const GUEST_PROGRAMS = ['guestfish', 'qemu-img'];
export const GUEST_PACKAGE = 'apt-get install libguestfs-tools';

/**
 * Starts a guestfish that waits for commands, says its process id once it does, and ends it when it is not needed any
 * more: with `exit` it removes its own files, but an appliance that hangs is killed. Arguments: disk, file for stderr.
 */
const LISTEN = `
said=$(guestfish --listen --ro --format=qcow2 -a "$1" 2>"$2") || { cat -- "$2" >&2; exit 1; }
pid=\${said#GUESTFISH_PID=}; pid=\${pid%%[!0-9]*}
end() { timeout 2 guestfish --remote="$pid" -- exit 2>/dev/null || kill -s KILL "$pid" 2>/dev/null; rm -f -- "$socket"; exit 0; }
socket=/tmp/.guestfish-$(id -u)/socket-$pid
trap end TERM INT HUP
n=0
until [ -S "$socket" ]; do kill -s 0 "$pid" && [ $n -lt 300 ] || exit 1; sleep 0.1; n=$((n + 1)); done
printf '%s\\n' "$pid"
while kill -s 0 "$pid" 2>/dev/null; do sleep 1 >/dev/null 2>&1 & wait $!; done`;

/** How a disk is opened. */
export interface Opening {
  readonly disk: AbsolutePath;
  /** Gets all files that are needed for it. */
  readonly folder: AbsolutePath;
  readonly said: AbsolutePath;
  /** With KVM where there is one, or slowly, but everywhere. */
  readonly accelerator: 'kvm' | 'tcg';
}

/** Opens a disk read-only. */
export function listen({ disk, folder, said, accelerator }: Opening): Command<undefined> {
  const settings = accelerator === 'tcg' ? { LIBGUESTFS_BACKEND_SETTINGS: 'force_tcg' } : {};
  return {
    argv: ['sh', '-c', LISTEN.trim(), 'one-backup-guestfish', disk, said],
    env: { LIBGUESTFS_BACKEND: 'direct', LIBGUESTFS_TMPDIR: folder, LC_ALL: 'C', ...settings },
    purpose: 'open the disk with guestfish',
    parse: nothing,
    dryRun: undefined,
    ignoreStalls: true,
  };
}
