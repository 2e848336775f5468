import type { AbsolutePath } from '../opennebula/ids';
import { type Command, nothing } from './command';
import { type ResticAccess, restic } from './restic-access';
import {
  type BackupSummary,
  hadLostLock,
  parseFileList,
  parseSnapshots,
  parseSummary,
  parseVersion,
  type Snapshot,
  type SnapshotFile,
} from './restic-output';

/** Creates a repository at a path of its own, where nothing is yet. */
export function init(access: ResticAccess): Command<undefined> {
  return restic(access, ['init'], { purpose: 'create the repository', parse: nothing, dryRun: undefined });
}

/** What a backup stores, and how it will be found again. */
export interface BackupInput {
  readonly files: readonly AbsolutePath[];
  readonly tags: readonly string[];
  /** When the data was taken, as `YYYY-MM-DD hh:mm:ss` in UTC; now, unless said otherwise. */
  readonly time?: string;
  /** How large the files are, which a dry run takes for what was stored. */
  readonly bytes?: number;
}

/** What was stored, and whether somebody removed the lock under which it was: then a prune may have taken data of it. */
export type StoredSummary = BackupSummary & { readonly lostLock: boolean };

/**
 * Stores files as one snapshot: it exists completely or not at all. restic passes over a file that is unchanged since the
 * last snapshot by size, times in nanoseconds, and inode; a staging folder that was filled anew has none of those.
 */
export function backup(access: ResticAccess, { files, tags, time, bytes = 0 }: BackupInput): Command<StoredSummary> {
  const args = ['backup', '--json', ...compressionOf(access), ...tags.map((tag) => `--tag=${tag}`)];
  if (time !== undefined) args.push(`--time=${time}`);
  const command = restic(access, [...args, '--', ...files], {
    purpose: 'store the backup',
    parse: ({ stdout, stderr }) => ({ ...parseSummary(stdout), lostLock: hadLostLock(stderr) }),
    dryRun: { snapshot: 'SNAPSHOT', files: files.length, bytes, lostLock: false },
  });
  return { ...command, env: { ...command.env, TZ: 'UTC' } };
}

/** Lists snapshots: those named, all with the tag, or all. One that is missing is missing in the answer too. */
export function snapshots(
  access: ResticAccess,
  { ids, tag }: { readonly ids: readonly string[]; readonly tag: string | undefined },
  dryRun: readonly Snapshot[],
): Command<Snapshot[]> {
  const which = ids.length > 0 ? ['--', ...ids] : tag === undefined ? [] : [`--tag=${tag}`];
  return restic(access, ['snapshots', '--json', '--no-lock', ...which], {
    purpose: ids.length === 0 ? 'list the snapshots' : 'look up the snapshots',
    parse: ({ stdout }) => parseSnapshots(stdout),
    dryRun: [...dryRun],
  });
}

/**
 * Writes a file of a snapshot to stdout. With a lock, the data cannot be pruned away meanwhile; without one, what is
 * read is proven by its hash all the same, or the command fails.
 * `--json`, because restic 0.18 else writes a note about locks to stdout, in front of the data.
 */
export function dump(
  access: ResticAccess,
  snapshot: string,
  path: AbsolutePath,
  lock: 'lock' | 'no-lock',
): Command<undefined> {
  return restic(access, ['dump', '--json', ...(lock === 'lock' ? [] : ['--no-lock']), '--', snapshot, path], {
    purpose: `read ${path.slice(path.lastIndexOf('/') + 1)} of snapshot ${snapshot}`,
    parse: nothing,
    dryRun: undefined,
  });
}

/** Restores the files whose names match, from wherever in the snapshot they are, below a folder. */
export function restore(
  access: ResticAccess,
  snapshot: string,
  target: AbsolutePath,
  names: readonly string[],
  sparse: boolean,
): Command<undefined> {
  const include = names.map((name) => `--include=${name}`);
  return restic(
    access,
    ['restore', '--no-lock', `--target=${target}`, ...(sparse ? ['--sparse'] : []), ...include, '--', snapshot],
    {
      purpose: `restore snapshot ${snapshot}`,
      parse: nothing,
      dryRun: undefined,
    },
  );
}

/** Lists all files of a snapshot with their sizes. */
export function listFiles(access: ResticAccess, snapshot: string): Command<SnapshotFile[]> {
  return restic(access, ['ls', '--json', '--no-lock', '--', snapshot], {
    purpose: `list the files of snapshot ${snapshot}`,
    parse: ({ stdout }) => parseFileList(stdout),
    dryRun: [],
  });
}

/** Asks for the version, which opens no repository: `[0, 14]`. */
export function version(access: ResticAccess): Command<readonly [number, number]> {
  const asked = restic(access, [], { purpose: 'ask for the version of restic', parse: parseVersion, dryRun: [0, 18] });
  return { ...asked, argv: ['restic', 'version'], secrets: {} };
}

/** How much a prune may leave and do; the values are restic's own (`5%`, `10G`, `unlimited`). */
export interface PruneLimits {
  readonly maxUnused: string;
  readonly maxRepack: string | undefined;
}

/** Removes snapshots, and at once, under the same lock, the data that only they needed; without limits not yet the data. */
export function forget(access: ResticAccess, ids: readonly string[], limits?: PruneLimits): Command<undefined> {
  const prune = limits === undefined ? [] : ['--prune', ...pruneOptions(limits)];
  return restic(access, ['forget', ...prune, '--', ...ids], {
    purpose: 'forget the snapshots',
    parse: nothing,
    dryRun: undefined,
  });
}

/** Removes data that no snapshot needs. */
export function prune(access: ResticAccess, limits: PruneLimits): Command<undefined> {
  return restic(access, ['prune', ...pruneOptions(limits)], {
    purpose: 'prune the repository',
    parse: nothing,
    dryRun: undefined,
  });
}

/** Removes stale locks, as restic knows them: of a dead process of that host, or not refreshed for 30 minutes. */
export function unlock(access: ResticAccess): Command<undefined> {
  return restic(access, ['unlock'], { purpose: 'remove stale locks', parse: nothing, dryRun: undefined });
}

function compressionOf({ compression }: ResticAccess): string[] {
  return compression === 'auto' ? [] : [`--compression=${compression}`];
}

/** The options of prune for these limits. */
export function pruneOptions({ maxUnused, maxRepack }: PruneLimits): string[] {
  return [`--max-unused=${maxUnused}`, ...(maxRepack === undefined ? [] : [`--max-repack-size=${maxRepack}`])];
}
