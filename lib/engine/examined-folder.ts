import { randomBytes } from 'node:crypto';
import { quote } from '../command/quote';
import { asDriverError, DriverError, type Mend } from '../errors';
import type { Host, Space } from '../host/host';
import { sizeText } from '../host/size-text';
import { type AbsolutePath, joinPath, parseAbsolutePath } from '../opennebula/ids';
import { type Check, fine, type Link } from './examination';

/** What is smaller than this takes no backup. */
export const FULL_BELOW_BYTES = 16 * 2 ** 20;
/** Below this share it is time to do something. */
const LOW_BELOW_SHARE = 0.05;
/** So much is written to see whether that works. */
const PROBE_BYTES = 4096;

/** A folder that backups need on a machine. */
export interface NeededFolder {
  readonly what: string;
  readonly path: AbsolutePath;
  /** The drivers make it themselves, and the folder above it is the admin's to make. */
  readonly isMade?: boolean;
  /** The user who has to write there, as far as that is known. */
  readonly user?: string | undefined;
  /** The machine in commands; the front-end unless told. */
  readonly on?: string;
}

/** The room in a folder, and that something can be written there. */
export function folderLink(host: Host, folder: NeededFolder): Link {
  return {
    what: folder.what,
    examine: async () => {
      const there = await nearestFolder(host, folder.path);
      const space = spaceCheck(await host.files.space(there), there, `${quote(['du', '-xd1', there])} | sort -n`);
      if (space.state === 'failure') return [space];
      return [(await tryToWrite(host, there, folder)) ?? space];
    },
  };
}

/** What the room somewhere is good for. `whatTakesIt` is the command that shows that there. */
export function spaceCheck({ freeBytes, totalBytes }: Space, where: string, whatTakesIt: string): Check {
  const says = `${where} has ${sizeText(freeBytes)} free of ${sizeText(totalBytes)}`;
  const hint = `Remove old backups or files of others there, or enlarge it. What takes the room is shown there by: ${whatTakesIt}`;
  if (freeBytes < FULL_BELOW_BYTES) return { state: 'failure', says: `full: ${says}`, hint };
  return freeBytes < totalBytes * LOW_BELOW_SHARE ? { state: 'warning', says, hint } : fine(says);
}

/** Writes a small file, into the folder or where it is going to be made, and removes it. Says what went wrong. */
async function tryToWrite(host: Host, there: AbsolutePath, folder: NeededFolder): Promise<Check | undefined> {
  const probe = joinPath(there, `.one-backup-doctor-${randomBytes(6).toString('hex')}`);
  try {
    await host.files.write(probe, '#'.repeat(PROBE_BYTES));
    return undefined;
  } catch (error) {
    const { kind, what, hint } = asDriverError(error);
    const says = `nothing can be written into ${there}: ${what.replace(probe, 'the file')}`;
    if (!/^no permission/.test(what)) {
      const reason = 'See whether its filesystem is read-only, or a quota is reached';
      return { state: 'failure', says, hint: kind === 'failed' ? reason : hint };
    }
    return { state: 'failure', says, mend: ownership(there, folder) };
  } finally {
    await removeProbe(host, probe);
  }
}

/** What a failed write may have left has another name, too (Files.write). */
async function removeProbe(host: Host, probe: AbsolutePath): Promise<void> {
  for (const path of [probe, parseAbsolutePath(`${probe}.part`, 'a probe')])
    await host.files.remove(path).catch(() => {});
}

/** The folder, or the nearest one above it that is there. */
async function nearestFolder(host: Host, path: AbsolutePath): Promise<AbsolutePath> {
  for (let candidate = path; ; candidate = parentOf(candidate)) {
    try {
      await host.files.list(candidate, []);
      return candidate;
    } catch (error) {
      if (!(error instanceof DriverError) || error.kind !== 'notFound' || candidate === '/') throw error;
    }
  }
}

function parentOf(path: AbsolutePath): AbsolutePath {
  return parseAbsolutePath(path.slice(0, path.lastIndexOf('/')) || '/', 'a folder');
}

function ownership(there: AbsolutePath, { path, isMade, user = 'oneadmin', on }: NeededFolder): Mend {
  const own = isMade && there !== path ? parentOf(path) : path;
  const words = there === own ? ['chown', user, own] : ['install', '-d', '-o', user, own];
  return { commands: [{ command: quote(words), asRoot: true, ...(on === undefined ? {} : { on }) }] };
}
