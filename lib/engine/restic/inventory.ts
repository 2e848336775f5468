import { Writable } from 'node:stream';
import { isIncrement } from '../../command/qcow2-header';
import * as restic from '../../command/restic';
import { DriverError } from '../../errors';
import { type AbsolutePath, parseAbsolutePath, type VmId } from '../../opennebula/ids';
import { MANIFEST_FILE, parseManifest } from '../../opennebula/manifest';
import type { CheckExtent, CheckItem, Inventory, Leftover, PointContent, StoredPoint, TellFailure } from '../inventory';
import { defectsOf, pointOfLayout, withManifest } from '../inventory-points';
import { checksOf } from './checks';
import { leftoversOf } from './leftovers';
import { type InventoryMeans, inEach, listRepositories, pointsOf } from './listing';
import { pruneAll, removePoints } from './prune';
import type { RepositoryId } from './repositories';
import type { Repository } from './repository';
import { readSnapshotFile } from './snapshot-file';

/** How many repositories are listed at a time: each listing is mostly a derivation of a key. */
const PARALLEL = 4;
/** The part of a qcow2's header that tells whether it is an increment. */
const HEADER_BYTES = 80;

/** What the repositories of a datastore hold, by their snapshots. */
export class ResticInventory implements Inventory {
  readonly sendsAsStored = false;
  readonly #means: InventoryMeans;

  constructor(means: InventoryMeans) {
    this.#means = means;
  }

  async points(vmId?: VmId, tell?: TellFailure): Promise<readonly StoredPoint[]> {
    const { repositories, context } = this.#means;
    const all = await listRepositories(this.#means);
    const wanted = all.filter((one) => vmId === undefined || one.jobId !== undefined || one.vmId === vmId);
    const list = (id: RepositoryId): Promise<StoredPoint[]> => pointsOf(repositories.local(id.vmId, id.jobId), id);
    const found = (await inEach(wanted, list, { tell, signal: context.signal, parallel: PARALLEL })).flat();
    return vmId === undefined ? found : found.filter((point) => point.vmId === vmId);
  }

  async isEmpty(): Promise<boolean> {
    return (await listRepositories(this.#means)).length === 0;
  }

  async inspect(listed: StoredPoint): Promise<PointContent> {
    const repository = this.#means.repositories.local(listed.vmId, listed.jobId);
    const held = (await repository.run(restic.listFiles(repository.access, listed.source))).map((file) => ({
      ...file,
      name: file.path.slice(file.path.lastIndexOf('/') + 1),
    }));
    if (held.length === 0)
      throw new DriverError('notFound', `nothing is stored as ${listed.source} in ${repository.path}`);
    const path = (name: string): AbsolutePath => {
      const found = held.find((file) => file.name === name)?.path ?? '';
      return parseAbsolutePath(found, `a path of snapshot ${listed.source}`, 'damaged');
    };
    const hasManifest = held.some(({ name }) => name === MANIFEST_FILE);
    const text = hasManifest ? await readSnapshotFile(repository, listed.source, path(MANIFEST_FILE)) : undefined;
    const manifest = text && parseManifest(text.toString(), `the manifest of snapshot ${listed.source}`);
    const storedBytes = held.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
    let point = pointOfLayout({ ...listed, files: held, storedBytes });
    if (manifest !== undefined) point = { ...withManifest(point, manifest), defects: defectsOf(manifest, held) };
    else if (point.type === 'INCREMENT' && !point.disks.some(({ file }) => file.endsWith('.rbdiff'))) {
      const isOne = await Promise.all(point.disks.map(({ file }) => this.#isIncrement(repository, listed, path(file))));
      if (isOne.length > 0 && !isOne.includes(true)) point = { ...point, type: 'FULL' };
    }
    const files = held.map(({ name, sizeBytes }) => ({
      ...{ name, sizeBytes },
      virtualSizeMb: manifest?.files.find((file) => file.name === name)?.virtualSizeMb,
    }));
    return { point, manifest, place: `${repository.path}, snapshot ${listed.source}`, files };
  }

  checks(points: readonly StoredPoint[], extent: CheckExtent): Promise<readonly CheckItem[]> {
    return checksOf(points, extent, this.#means);
  }

  leftovers(tell?: TellFailure): Promise<readonly Leftover[]> {
    return leftoversOf(this.#means, tell);
  }

  removePoints(points: readonly StoredPoint[]): Promise<void> {
    return removePoints(points, this.#means);
  }

  prune(dryRun: boolean, tell?: TellFailure): Promise<readonly string[]> {
    return pruneAll(dryRun, this.#means, tell);
  }

  /** Whether a disk is written as an increment: the stock driver tells in no other way that it merged one. */
  async #isIncrement(repository: Repository, { source }: StoredPoint, path: AbsolutePath): Promise<boolean> {
    let head = Buffer.alloc(0);
    const output = new Writable({
      write: (chunk: Buffer, _, done) => {
        head = Buffer.concat([head, chunk]);
        done(head.length < HEADER_BYTES ? undefined : new Error('enough'));
      },
    });
    try {
      await repository.run(restic.dump(repository.access, source, path, 'no-lock'), { output });
    } catch (error) {
      if (head.length < HEADER_BYTES) throw error;
    }
    return isIncrement(head);
  }
}
