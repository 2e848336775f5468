import { DriverError } from '../errors';
import type { AbsolutePath } from '../opennebula/ids';
import { type Command, nothing, type Outcome } from './command';
import { listFiles } from './restic';
import { type ResticAccess, restic } from './restic-access';
import { explainResticFailure } from './restic-failure';
import type { SnapshotFile } from './restic-output';

/** What `restic check` complains of. All ids are whole. */
export interface CheckReport {
  /** Packs that are not there. */
  readonly missing: readonly string[];
  /** Packs that end too early, and where. */
  readonly cut: ReadonlyMap<string, number>;
  /** Packs that hold something else than they should, by restic's words nobody knows where. */
  readonly changed: readonly string[];
  /** Data that is known to be damaged. */
  readonly blobs: readonly string[];
  /** Complaints of anything but packs. */
  readonly others: readonly string[];
}

/** How much of the data a check reads: none, all, or one of some parts that together are all. */
export type CheckedData = 'none' | 'all' | { readonly part: number; readonly parts: number };

/**
 * Checks a repository without a lock, so that no backup has to wait for hours: what a prune takes away meanwhile looks
 * damaged, and must be looked at again.
 */
export function check(access: ResticAccess, data: CheckedData, host: string): Command<CheckReport> {
  const read = typeof data === 'object' ? [`--read-data-subset=${data.part}/${data.parts}`] : ['--read-data'];
  const purpose = 'check the repository';
  return restic(access, ['check', '--no-lock', ...(data === 'none' ? [] : read)], {
    purpose,
    accept: [1],
    dryRun: { missing: [], cut: new Map(), changed: [], blobs: [], others: [] },
    parse: (outcome) => {
      const isReport = outcome.exitCode === 0 || /repository contains errors/.test(outcome.stderr);
      if (isReport) return parseCheck(outcome);
      const known = explainResticFailure(outcome, host, access, purpose);
      throw known ?? new DriverError('failed', `cannot ${purpose}: ${lastLine(outcome.stderr)}`, { host });
    },
  });
}

/** Where some data stands: a file of a snapshot. */
export interface FoundFile {
  readonly snapshot: string;
  readonly path: string;
}

/** Finds the files that need a pack, or some data: in all snapshots, or in some. */
export function find(
  access: ResticAccess,
  what: 'pack' | 'blob',
  ids: readonly string[],
  snapshots: readonly string[] = [],
): Command<FoundFile[]> {
  const within = snapshots.map((snapshot) => `--snapshot=${snapshot}`);
  return restic(access, ['find', '--json', '--no-lock', '--no-cache', ...within, `--${what}`, ...ids], {
    purpose: `find what needs ${ids.length === 1 ? `${what} ${ids[0]?.slice(0, 8)}` : `${ids.length} ${what}s`}`,
    dryRun: [],
    parse: ({ stdout }) => {
      const start = stdout.indexOf('[');
      const list = start === -1 ? [] : (JSON.parse(stdout.slice(start)) as unknown[]);
      return (list as Record<string, unknown>[])
        .filter((one) => typeof one.snapshot === 'string' && typeof one.path === 'string')
        .map((one) => ({ snapshot: String(one.snapshot), path: String(one.path) }));
    },
  });
}

/** Lists the files of a snapshot by the repository itself, not by a cache. */
export function listUncached(access: ResticAccess, snapshot: string): Command<SnapshotFile[]> {
  const { argv, ...rest } = listFiles(access, snapshot);
  return { ...rest, argv: argv.toSpliced(argv.indexOf('ls') + 1, 0, '--no-cache') as [string, ...string[]] };
}

/** Some data in a pack, and where it ends. */
export interface PackedBlob {
  readonly id: string;
  readonly endsAt: number;
}

/** The ids of all indexes. */
export function listIndexes(access: ResticAccess): Command<string[]> {
  return restic(access, ['list', 'index', '--no-lock'], {
    purpose: 'list the indexes',
    dryRun: [],
    parse: ({ stdout }) => stdout.match(/^[0-9a-f]{64}$/gm) ?? [],
  });
}

/** What an index says of some packs. */
export function readIndex(access: ResticAccess, id: string, packs: readonly string[]) {
  return restic<Map<string, PackedBlob[]>>(access, ['cat', '--no-lock', 'index', id], {
    purpose: `read index ${id.slice(0, 8)}`,
    dryRun: new Map(),
    parse: ({ stdout }) => {
      const index = JSON.parse(stdout.slice(stdout.indexOf('{'))) as {
        packs?: { id: string; blobs?: { id: string; offset: number; length: number }[] }[];
      };
      const wanted = (index.packs ?? []).filter((pack) => packs.includes(pack.id));
      return new Map(
        wanted.map((pack) => [
          pack.id,
          (pack.blobs ?? []).map(({ id: blob, offset, length }) => ({ id: blob, endsAt: offset + length })),
        ]),
      );
    },
  });
}

/** Reads a file of a snapshot from the repository itself, not from a cache. */
export function proveFile(access: ResticAccess, snapshot: string, path: AbsolutePath): Command<undefined> {
  return restic(access, ['dump', '--json', '--no-lock', '--no-cache', '--', snapshot, path], {
    purpose: `read ${path.slice(path.lastIndexOf('/') + 1)} of snapshot ${snapshot}`,
    parse: nothing,
    dryRun: undefined,
  });
}

/** A lock as it says of itself. */
export interface LockFacts {
  readonly timeMs: number;
  readonly hostname: string;
  readonly pid: number;
  readonly username: string;
  /** Nobody else may use the repository: as while it is pruned. */
  readonly isExclusive: boolean;
}

/** Reads a lock. */
export function readLock(access: ResticAccess, id: string): Command<LockFacts> {
  return restic(access, ['cat', '--no-lock', 'lock', id], {
    purpose: `read lock ${id.slice(0, 8)}`,
    dryRun: { timeMs: 0, hostname: '', pid: 0, username: '', isExclusive: false },
    parse: ({ stdout }) => {
      const found = JSON.parse(stdout.slice(stdout.indexOf('{'))) as Record<string, unknown>;
      const { time, hostname, pid, username, exclusive } = found;
      return {
        timeMs: Date.parse(String(time)) || 0,
        hostname: String(hostname),
        pid: Number(pid),
        username: String(username),
        isExclusive: exclusive === true,
      };
    },
  });
}

/** Says what a prune would remove. */
export function prunable(access: ResticAccess, options: readonly string[]): Command<string> {
  return restic(access, ['prune', '--dry-run', '--no-lock', ...options], {
    purpose: 'see what a prune would remove',
    dryRun: '',
    parse: ({ stdout }) => /^total prune:\s+(.*)$/m.exec(stdout)?.[1]?.trim() ?? 'nothing',
  });
}

function parseCheck({ stderr, stdout }: Outcome): CheckReport {
  const missing = new Set<string>();
  const cut = new Map<string, number>();
  const changed = new Set<string>();
  const blobs = new Set<string>();
  const others: string[] = [];
  for (const line of `${stdout}\n${stderr}`.split('\n')) {
    const pack = /\bpack(?: ID does not match, want)? ([0-9a-f]{64})/i.exec(line)?.[1];
    const named = [...line.matchAll(/\bblob ([0-9a-f]{64})/g)].map(([, id]) => id as string);
    const end = /unexpected file size: got ([0-9]+)/.exec(line)?.[1];
    if (pack === undefined) {
      if (/^(error|tree|Fatal: (?!repository contains)|.*not found in index)/.test(line)) others.push(line.trim());
    } else if (/not referenced in any index/.test(line)) {
      // of a broken upload: nobody needs it
    } else if (/does not exist/.test(line)) missing.add(pack);
    else if (end !== undefined) cut.set(pack, Number(end));
    else if (named.length > 0) for (const id of named) blobs.add(id);
    else changed.add(pack);
  }
  return { missing: [...missing], cut, changed: [...changed], blobs: [...blobs], others };
}

function lastLine(text: string): string {
  return text.trim().split('\n').at(-1)?.trim() ?? '';
}
