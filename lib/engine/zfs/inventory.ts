import { listDeadFillings, removeDeadFilling } from '../../command/leftovers';
import { checkAlone } from '../../command/qemu-img';
import * as zfs from '../../command/zfs';
import type { Dataset } from '../../command/zfs-list';
import { asDriverError } from '../../errors';
import type { Host } from '../../host/host';
import {
  type AbsolutePath,
  type ImageId,
  type IncrementId,
  type JobId,
  joinPath,
  parseAbsolutePath,
  parseVmId,
  type VmId,
} from '../../opennebula/ids';
import { MANIFEST_FILE, parseManifest } from '../../opennebula/manifest';
import type { EngineContext } from '../engine';
import type { CheckItem, Damage, Inventory, Leftover, PointContent, StoredPoint } from '../inventory';
import { defectOf } from '../inventory-points';
import { INCOMING } from './backup';
import type { ZfsConfig } from './config';
import { parseDisks } from './disks';
import { folderOf, VmDataset } from './vm-dataset';

/** What an inventory needs. */
export interface InventoryMeans {
  readonly server: () => Promise<Host>;
  readonly config: ZfsConfig;
  readonly context: EngineContext;
  readonly destroy: (dataset: VmDataset, sources: readonly string[]) => Promise<void>;
}

/** What the datasets of a datastore hold. */
export class ZfsInventory implements Inventory {
  readonly sendsAsStored = true;
  readonly #means: InventoryMeans;

  constructor(means: InventoryMeans) {
    this.#means = means;
  }

  async points(vmId?: VmId): Promise<readonly StoredPoint[]> {
    const server = await this.#means.server();
    const { config, context } = this.#means;
    const root = `${config.dataset}/${context.datastore.id}`;
    const listed = await server.run(zfs.list(vmId === undefined ? root : `${root}/${vmId}`, 'tree'));
    const incrementOf = new Map(listed.map(({ source, properties }) => [source, properties.increment]));
    return listed.flatMap((one) => {
      const vm = /^\/([0-9]+)$/.exec(one.name.slice(root.length))?.[1];
      if (vm === undefined || one.source === undefined) return [];
      return [toPoint(one, one.source, parseVmId(vm, 'the name of a dataset', 'failed'), incrementOf)];
    });
  }

  async inspect(point: StoredPoint): Promise<PointContent> {
    const dataset = await this.#dataset(point.vmId);
    const { folder } = await dataset.find(point.source, `backup ${point.source}`);
    const held = (await dataset.server.files.list(folder, [])).filter(({ type }) => type === 'file');
    const path = joinPath(folder, MANIFEST_FILE);
    const manifest = parseManifest((await dataset.server.files.read(path, '')).toString(), path);
    const files = held.map(({ name, sizeBytes }) => {
      const noted = manifest.files.find((file) => file.name === name);
      return { name, sizeBytes, virtualSizeMb: noted?.virtualSizeMb };
    });
    const told = { ...point, vmName: manifest.vmName, defect: defectOf(manifest, held) };
    return { point: told, manifest, place: folder, files };
  }

  /** The disks' form; that their bytes are what was written, ZFS itself knows, and says in its scrub. */
  async checks(points: readonly StoredPoint[]): Promise<readonly CheckItem[]> {
    const server = await this.#means.server();
    const { dataset } = this.#means.config;
    const [pool = dataset] = dataset.split('/');
    const scrub: CheckItem = {
      id: `pool:${pool}`,
      about: `pool ${pool}`,
      run: async () => {
        const errors = await server.run(zfs.knownErrors(pool));
        return errors.flatMap((path) => damageAt(path, points));
      },
    };
    const backups = points.map((point): CheckItem => {
      const { vmId, source } = point;
      const about = `VM ${vmId}, backup ${source}`;
      return { id: `backup:${vmId}/${source}`, about, run: () => this.#check(point) };
    });
    return [scrub, ...backups];
  }

  async leftovers(): Promise<readonly Leftover[]> {
    const server = await this.#means.server();
    const { config, context } = this.#means;
    const [own] = await server.run(zfs.list(`${config.dataset}/${context.datastore.id}`, 'filesystem'));
    if (own?.mountpoint === undefined) return [];
    const incoming = joinPath(parseAbsolutePath(own.mountpoint, 'the mountpoint', 'failed'), INCOMING);
    const found = await server.run(listDeadFillings(incoming)).catch(() => []); // nothing was ever received
    return found.map(({ path, ...facts }): Leftover => {
      const left = parseAbsolutePath(path, 'an unfinished backup', 'failed');
      const what = 'a broken transfer, with which the next backup of the VM would go on';
      return { what, where: `${server.name}:${path}`, ...facts, remove: () => server.run(removeDeadFilling(left)) };
    });
  }

  async removePoints(points: readonly StoredPoint[]): Promise<void> {
    for (const vmId of new Set(points.map((point) => point.vmId))) {
      const sources = points.filter((point) => point.vmId === vmId).map(({ source }) => source);
      await this.#means.destroy(await this.#dataset(vmId), sources);
    }
  }

  async #check({ vmId, jobId, source, disks }: StoredPoint): Promise<Damage[]> {
    const dataset = await this.#dataset(vmId);
    const state = await dataset.look();
    const about = { vmId, jobId, source };
    if (state === undefined || !state.backups.some((one) => one.source === source))
      return [{ ...about, diskId: undefined, what: 'its snapshot is gone' }];
    const found: Damage[] = [];
    for (const { id, file } of disks) {
      const why = await this.#wrongForm(dataset.server, joinPath(folderOf(state, source), file));
      if (why !== undefined) found.push({ ...about, diskId: id, what: why });
    }
    return found;
  }

  async #wrongForm(server: Host, path: AbsolutePath): Promise<string | undefined> {
    try {
      await server.run(checkAlone(path));
      return undefined;
    } catch (error) {
      const failure = asDriverError(error);
      if (failure.kind === 'damaged') return failure.message;
      throw error;
    }
  }

  async #dataset(vmId: VmId): Promise<VmDataset> {
    const { server, config, context } = this.#means;
    return new VmDataset(await server(), config, context.datastore.id, vmId);
  }
}

function toPoint(
  { name, createdAt, properties }: Dataset,
  source: string,
  vmId: VmId,
  incrementOf: ReadonlyMap<string | undefined, string | undefined>,
): StoredPoint {
  const id = (text: string | undefined): number | undefined =>
    text !== undefined && /^[0-9]{1,9}$/.test(text) ? Number(text) : undefined;
  const { parent, increment, image, job, bytes, disks } = properties;
  return {
    ...{ vmId, source, repository: name, replaces: [], hasManifest: true, standsAlone: true },
    jobId: id(job) as JobId | undefined,
    imageId: id(image) as ImageId | undefined,
    incrementId: id(increment) as IncrementId | undefined,
    parentId: (parent === undefined ? undefined : id(incrementOf.get(parent))) as IncrementId | undefined,
    type: parent === undefined ? 'FULL' : 'INCREMENT',
    timeMs: createdAt * 1000,
    storedBytes: id(bytes) ?? Number(bytes ?? 0),
    disks: parseDisks(disks),
  };
}

/** A file with errors, as `zpool status -v` names it: `/tank/.../.zfs/snapshot/one-backup-SOURCE/disk.0`, or by dataset and snapshot. */
function damageAt(path: string, points: readonly StoredPoint[]): Damage[] {
  const point = points.find(({ source }) => path.includes(`one-backup-${source}`));
  if (point === undefined) return [];
  const disk = /disk\.([0-9]+)$/.exec(path)?.[1];
  const held = point.disks.find(({ id }) => String(id) === disk);
  const { vmId, jobId, source } = point;
  return [{ vmId, jobId, source, diskId: held?.id, what: `ZFS knows errors in ${path}` }];
}
