import { DriverError } from '../errors';
import type { Outcome } from './command';

/** What `restic backup --json` says at its end (restic manual, "Scripting"). */
export interface BackupSummary {
  /** The first 8 characters of the snapshot's id, which both old and new versions know it by. */
  readonly snapshot: string;
  readonly files: number;
  /** The size of the files read, in bytes, not of what was new. */
  readonly bytes: number;
}

/** A snapshot as `restic snapshots --json` lists it. */
export interface Snapshot {
  /** All 64 hexadecimal digits. */
  readonly id: string;
  readonly time: string;
  readonly paths: readonly string[];
  readonly tags: readonly string[];
  /** The size of its files, which 0.17 and later note. */
  readonly bytes?: number;
}

/** One status line of `restic backup --json`, or undefined for any other line. */
export function parseStatus(
  line: string,
): { readonly done: number; readonly bytesDone: number; readonly bytesTotal: number } | undefined {
  const message = parseJson(line);
  if (message?.message_type !== 'status') return undefined;
  const number = (name: string): number => (typeof message[name] === 'number' ? message[name] : 0);
  return { done: number('percent_done'), bytesDone: number('bytes_done'), bytesTotal: number('total_bytes') };
}

/** A file of a snapshot. */
export interface SnapshotFile {
  readonly path: string;
  readonly sizeBytes: number;
}

/** Reads the files that `restic ls --json` lists, a line each. */
export function parseFileList(stdout: string): SnapshotFile[] {
  return stdout
    .split('\n')
    .map(parseJson)
    .filter((node) => node?.struct_type === 'node' && node.type === 'file')
    .map((node) => ({ path: String(node?.path), sizeBytes: Number(node?.size ?? 0) }));
}

/** Reads what `restic version` prints: `[0, 14]`. Throws `failed`. */
export function parseVersion({ stdout }: Outcome): readonly [number, number] {
  const found = /^restic (\d+)\.(\d+)/.exec(stdout);
  if (found === null) throw new DriverError('failed', 'the program restic does not tell its version');
  return [Number(found[1]), Number(found[2])];
}

/** Reads the closing summary of `restic backup --json`. Throws `failed` when there is none: unknown is not success. */
export function parseSummary(stdout: string): BackupSummary {
  const summary = stdout
    .split('\n')
    .map(summaryIn)
    .findLast((one) => one !== undefined);
  if (summary !== undefined) return summary;
  throw new DriverError('failed', 'restic ended well but named no snapshot: whether the backup was stored is unknown', {
    hint: 'Look with "restic snapshots", and check the version of restic on the host',
  });
}

/** The summary in a line of `restic backup --json`; undefined for any other line. */
export function summaryIn(line: string): BackupSummary | undefined {
  if (!line.includes('"summary"')) return undefined;
  const {
    message_type,
    snapshot_id: id,
    total_files_processed: files,
    total_bytes_processed: bytes,
  } = parseJson(line) ?? {};
  const isWhole =
    typeof id === 'string' && /^[0-9a-f]{8,64}$/.test(id) && typeof files === 'number' && typeof bytes === 'number';
  return message_type === 'summary' && isWhole ? { snapshot: id.slice(0, 8), files, bytes } : undefined;
}

/** Whether restic could not remove its own lock because it was gone already (0.14 and 0.18 say so, and end well). */
export function hadLostLock(stderr: string): boolean {
  return /^Remove\(<lock\/[0-9a-f]+>\) .*(does not exist|no such file)/im.test(stderr);
}

/** Reads `restic snapshots --json`. */
export function parseSnapshots(stdout: string): Snapshot[] {
  const list: unknown = stdout.trim() === '' ? [] : JSON.parse(stdout);
  return (Array.isArray(list) ? list : []).map((one: Partial<Snapshot> & ListedSummary) => ({
    id: String(one.id),
    time: String(one.time),
    paths: one.paths ?? [],
    tags: one.tags ?? [],
    ...(typeof one.summary?.total_bytes_processed === 'number' ? { bytes: one.summary.total_bytes_processed } : {}),
  }));
}

interface ListedSummary {
  readonly summary?: { readonly total_bytes_processed?: unknown };
}

function parseJson(line: string): Record<string, unknown> | undefined {
  const start = line.indexOf('{');
  if (start === -1) return undefined;
  try {
    return JSON.parse(line.slice(start));
  } catch {
    return undefined;
  }
}
