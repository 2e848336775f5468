import { DriverError } from '../errors';
import type { AbsolutePath } from '../opennebula/ids';
import type { Command, Outcome } from './command';

/** openssl uses the processor's own instructions for SHA-256 and is three times as fast as sha256sum without them. */
const SCRIPT =
  'if command -v openssl >/dev/null; then exec openssl dgst -sha256 -r "$@"; else exec sha256sum -- "$@"; fi';

/** Computes the SHA-256 of files: 64 hexadecimal digits for each, in their order. `limits` are words of throttle(). */
export function sha256(files: readonly AbsolutePath[], limits: readonly string[] = []): Command<string[]> {
  const [program, ...args] = [...limits, 'sh', '-c', SCRIPT, 'one-backup-sha256', ...files] as [string, ...string[]];
  return {
    argv: [program, ...args],
    purpose: 'compute the checksums',
    dryRun: files.map(() => '0'.repeat(64)),
    parse: (outcome) => parseSums(outcome, files.length),
  };
}

/**
 * Reads a piece, waits until the second is over, reads the next; `dd` ends well at the end of a file. What was read in
 * part has a checksum, too: it counts only with the word that all was read, which the left side of the pipe says past it.
 */
const SLOWLY = `
kib=$1; shift
exec 5>&1
for file; do
  bytes=$(stat -L -c %s -- "$file") || exit 1
  exec 4<"$file" || exit 1
  said=$({
    {
      while [ "$bytes" -gt 0 ]; do
        dd bs=64k count=$(((kib + 63) / 64)) iflag=fullblock status=none <&4 || exit 1
        bytes=$((bytes - (kib + 63) / 64 * 65536))
        [ "$bytes" -le 0 ] || sleep 1
      done
      echo whole >&3
    } | sha256sum >&5
  } 3>&1)
  [ "$said" = whole ] || exit 1
done`;

/** Computes the SHA-256 of files, reading no more than so many KiB in a second. */
export function sha256Slowly(files: readonly AbsolutePath[], limitKib: number): Command<string[]> {
  return {
    argv: ['sh', '-c', SLOWLY.trim(), 'one-backup-sha256-slowly', String(limitKib), ...files],
    purpose: 'compute the checksums',
    dryRun: files.map(() => '0'.repeat(64)),
    parse: (outcome) => parseSums(outcome, files.length),
  };
}

function parseSums({ stdout }: Outcome, count: number): string[] {
  // openssl(1) with -r prints `HASH *FILE`, sha256sum(1) `HASH  FILE`, after a backslash when the name is escaped
  const found = [...stdout.matchAll(/^\\?([0-9a-f]{64}) [ *]/gm)].map(([, hash]) => hash as string);
  if (found.length !== count) throw new DriverError('failed', 'the checksums of the files are not all there');
  return found;
}
