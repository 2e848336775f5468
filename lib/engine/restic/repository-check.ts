import { Writable } from 'node:stream';
import type { ResticAccess } from '../../command/restic-access';
import {
  type CheckedData,
  type CheckReport,
  check,
  type FoundFile,
  find,
  listIndexes,
  listUncached,
  type PackedBlob,
  proveFile,
  readIndex,
} from '../../command/restic-check';
import { asDriverError, DriverError } from '../../errors';
import { parseDiskFile } from '../../opennebula/backup-url';
import { parseAbsolutePath } from '../../opennebula/ids';
import type { CheckExtent, Damage, StoredPoint } from '../inventory';
import { pointsOf } from './listing';
import type { RepositoryId } from './repositories';
import type { Repository } from './repository';

/** More parts than this restic does not know (restic manual, "--read-data-subset"). */
const MOST_PARTS = 256;
const DAMAGED = 'its data is damaged';

/** Checks one repository, and finds out which disks of which backups what is damaged belongs to. */
export class RepositoryCheck {
  readonly #repository: Repository;
  readonly #access: ResticAccess;
  readonly #id: RepositoryId;
  #points: readonly StoredPoint[] = [];

  constructor(repository: Repository, access: ResticAccess, id: RepositoryId) {
    this.#repository = repository;
    this.#access = access;
    this.#id = id;
  }

  async run(extent: CheckExtent): Promise<Damage[]> {
    const report = await this.#repository
      .run(check(this.#access, dataOf(extent), this.#repository.host.name))
      .catch((error) => {
        const failure = asDriverError(error);
        if (failure.kind !== 'damaged') throw error;
        return failure;
      });
    if (report instanceof DriverError) return this.#unchecked(report);
    const { missing, cut, changed, blobs, others } = report;
    if (missing.length + cut.size + changed.length + blobs.length + others.length === 0) return [];
    this.#points = await pointsOf(this.#repository, this.#id);
    // What a damaged tree holds cannot be told; in all others is searched for what is damaged.
    const lost = others.length === 0 ? [] : await this.#unlisted();
    const readable = this.#points.filter(({ source }) => !lost.some((damage) => damage.source === source));
    const traced = await this.#trace(report, lost.length === 0 ? [] : readable).catch((error) => {
      if (asDriverError(error).kind === 'cancelled') throw error;
      return this.#readAll(readable);
    });
    const damages = [...lost, ...traced];
    if (damages.length > 0) return unique(damages);
    const [first] = [...missing, ...cut.keys(), ...changed, ...blobs];
    if (first === undefined) return [{ ...this.#ofNone(others[0] ?? ''), isUnclear: true }];
    return [this.#ofNone(`pack or blob ${first.slice(0, 8)} is damaged`)];
  }

  /** What is lost where restic cannot even begin to check: the backups of which it cannot list the files. */
  async #unchecked({ message }: DriverError): Promise<Damage[]> {
    this.#points = await pointsOf(this.#repository, this.#id).catch(() => []);
    const lost = this.#points.length === 0 ? [] : await this.#unlisted();
    return lost.length > 0 ? lost : [{ ...this.#ofNone(message), isUnclear: true }];
  }

  /** What needs the damaged data. Of a pack of which restic does not say what is damaged, each file is read. */
  async #trace({ missing, cut, changed, blobs }: CheckReport, within: readonly StoredPoint[]): Promise<Damage[]> {
    const sources = within.map(({ source }) => source);
    const found = (what: 'pack' | 'blob', ids: readonly string[]): Promise<FoundFile[]> =>
      this.#repository.run(find(this.#access, what, ids, sources));
    const lost = [...blobs];
    if (cut.size > 0) {
      const packed = await this.#blobsOf([...cut.keys()]);
      for (const [pack, end] of cut)
        lost.push(...(packed.get(pack) ?? []).filter(({ endsAt }) => endsAt > end).map(({ id }) => id));
    }
    const certain: FoundFile[] = [];
    if (lost.length > 0) certain.push(...(await found('blob', lost)));
    if (missing.length > 0) certain.push(...(await found('pack', missing)));
    const damages = certain.map((file) => this.#damage(file, DAMAGED));
    if (changed.length === 0) return damages.flatMap((one) => one ?? []);
    const candidates = await found('pack', changed).catch(async () => {
      const packed = await this.#blobsOf(changed); // its own list of what it holds may be what is damaged
      return found(
        'blob',
        [...packed.values()].flat().map(({ id }) => id),
      );
    });
    const paths = new Map(candidates.map((file) => [`${file.snapshot.slice(0, 8)} ${nameOf(file.path)}`, file]));
    for (const file of paths.values()) {
      const why = await this.#failureOf(file);
      if (why !== undefined) damages.push(this.#damage(file, why));
    }
    return damages.flatMap((one) => one ?? []);
  }

  /** Backups whose files cannot be listed. */
  async #unlisted(): Promise<Damage[]> {
    const damages: Damage[] = [];
    for (const { vmId, jobId, source } of this.#points) {
      await this.#repository.run(listUncached(this.#access, source)).catch((error) => {
        const what = this.#damaged(error);
        if (what !== undefined) damages.push({ vmId, jobId, source, diskId: undefined, what });
      });
    }
    return damages;
  }

  /** Reads every file of some backups. */
  async #readAll(points: readonly StoredPoint[]): Promise<Damage[]> {
    const damages: Damage[] = [];
    for (const { source: snapshot } of points) {
      for (const { path } of await this.#repository.run(listUncached(this.#access, snapshot))) {
        const why = await this.#failureOf({ snapshot, path });
        const damage = why === undefined ? undefined : this.#damage({ snapshot, path }, why);
        if (damage !== undefined) damages.push(damage);
      }
    }
    return damages;
  }

  /** Why a file cannot be read; undefined when it can. */
  async #failureOf({ snapshot, path }: FoundFile): Promise<string | undefined> {
    const output = new Writable({ write: (_chunk, _encoding, done) => done() });
    const file = parseAbsolutePath(path, 'a path of a snapshot', 'damaged');
    try {
      await this.#repository.run(proveFile(this.#access, snapshot, file), { output });
      return undefined;
    } catch (error) {
      return this.#damaged(error);
    }
  }

  /** Whether it is damage: undefined when the backup was removed meanwhile. Any other failure is thrown. */
  #damaged(error: unknown): string | undefined {
    const { kind, message } = asDriverError(error);
    if (kind === 'notFound') return undefined;
    if (kind === 'damaged' || (kind === 'failed' && /load|pack|blob|tree/i.test(message))) return DAMAGED;
    throw error;
  }

  async #blobsOf(packs: readonly string[]): Promise<Map<string, PackedBlob[]>> {
    const found = new Map<string, PackedBlob[]>();
    for (const index of await this.#repository.run(listIndexes(this.#access))) {
      for (const [pack, blobs] of await this.#repository.run(readIndex(this.#access, index, packs)))
        found.set(pack, [...(found.get(pack) ?? []), ...blobs]);
    }
    return found;
  }

  #damage({ snapshot, path }: FoundFile, what: string): Damage | undefined {
    const point = this.#points.find(({ source }) => snapshot.startsWith(source));
    if (point === undefined) return undefined;
    const { vmId, jobId, source } = point;
    const name = nameOf(path);
    const diskId = parseDiskFile(name)?.diskId;
    return { vmId, jobId, source, diskId, file: name, what: `${name}: ${what}` };
  }

  #ofNone(what: string): Damage {
    return { ...this.#id, source: undefined, diskId: undefined, what: `${this.#repository.path}: ${what}` };
  }
}

function nameOf(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}

function unique(damages: readonly Damage[]): Damage[] {
  return [...new Map(damages.map((one) => [`${one.source} ${one.what}`, one])).values()];
}

function dataOf({ share, seed }: CheckExtent): CheckedData {
  if (share <= 0 || share >= 1) return share <= 0 ? 'none' : 'all';
  const parts = Math.min(MOST_PARTS, Math.max(2, Math.round(1 / share)));
  return { part: (seed % parts) + 1, parts };
}
