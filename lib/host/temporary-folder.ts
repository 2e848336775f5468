import { type Command, nothing } from '../command/command';
import type { AbsolutePath } from '../opennebula/ids';
import { joinPath, parseAbsolutePath } from '../opennebula/ids';
import type { Host } from './host';
import { startKeeper } from './keeper';

/** A folder that does not outlive the action, however that ends. */
export interface TemporaryFolder {
  readonly path: AbsolutePath;
  /** Removes it with all it holds. */
  remove(): Promise<void>;
}

/**
 * Removes the folder once no program names it any more (one that is being stopped may still write into it).
 * The path comes by environment, so that this very process is not among those.
 */
const REMOVE = `
n=0
while [ $n -lt 100 ] && printf %s "$FOLDER" | grep -lsF -f - /proc/[0-9]*/cmdline >/dev/null; do sleep 0.1; n=$((n + 1)); done
rm -rf -- "$FOLDER"`;

/**
 * Removes such folders whose keeper is dead, or that are from before the machine was started; makes a new one, says
 * where, and keeps it until stopped. Arguments: the parent, the beginning of the name, REMOVE.
 */
const KEEP = `
mkdir -p -m 700 -- "$1" || exit 1
remove=$3
end() { [ -z "$FOLDER" ] || { setsid sh -c "$remove" one-backup-remove & wait $!; }; exit 0; }
FOLDER=; export FOLDER
trap end TERM INT HUP
boot=$(cut -c 1-8 /proc/sys/kernel/random/boot_id)
for old in "$1/$2"????????-*-????????; do
  made=\${old#"$1/$2"}; pid=\${made#*-}; pid=\${pid%%-*}
  [ -d "$old" ] && [ -O "$old" ] || continue
  if [ "\${made%%-*}" != "$boot" ] || ! kill -s 0 "$pid" 2>/dev/null; then rm -rf -- "$old"; fi
done
FOLDER=$(mktemp -d -- "$1/$2$boot-$$-XXXXXXXX") || exit 1
printf '%s\\n' "$FOLDER"
while :; do sleep 3600 >/dev/null 2>&1 & wait $!; kill $! 2>/dev/null; done`;

/**
 * Makes a private folder on a host and keeps it for the action: a small program there, supervised as every other,
 * removes it when the action ends, is killed, or loses its connection. Throws `failed` with what mktemp said.
 */
export async function makeTemporaryFolder(host: Host, parent: AbsolutePath, prefix: string): Promise<TemporaryFolder> {
  const command: Command<undefined> = {
    argv: ['sh', '-c', KEEP.trim(), 'one-backup-folder', parent, prefix, REMOVE.trim()],
    purpose: `make a temporary folder in ${parent}`,
    parse: nothing,
    dryRun: undefined,
    ignoreStalls: true,
  };
  const keeper = await startKeeper(host, command);
  const path =
    keeper.said === undefined
      ? joinPath(parent, `${prefix}DRYRUN`)
      : parseAbsolutePath(keeper.said, 'the temporary folder', 'failed');
  return { path, remove: () => keeper.end() };
}
