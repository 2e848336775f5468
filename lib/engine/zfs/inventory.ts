import { listDeadFillings } from '../../command/leftovers';
import * as zfs from '../../command/zfs';
import type { Dataset } from '../../command/zfs-list';
import type { Host } from '../../host/host';
import {
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
import type { CheckExtent, CheckItem, Inventory, Leftover, LostPoint, PointContent, StoredPoint } from '../inventory';
import { defectsOf } from '../inventory-points';
import { leftFilling } from '../left-filling';
import { abandonedDatasets } from './abandoned';
import { INCOMING } from './backup';
import { checksOf } from './checks';
import type { ZfsConfig } from './config';
import { parseDisks } from './disks';
import { lostPoints, placeOf } from './notes';
import { shrink } from './remove';
import { ifMissing, VmDataset } from './vm-dataset';

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
    const { config, context } = this.#means;
    const root = `${config.dataset}/${context.datastore.id}`;
    const listed = await this.#list(vmId === undefined ? root : `${root}/${vmId}`, root);
    const incrementOf = new Map(listed.map(({ source, properties }) => [source, properties.increment]));
    return listed.flatMap((one) => {
      const vm = /^\/([0-9]+)$/.exec(one.name.slice(root.length))?.[1];
      if (vm === undefined || one.source === undefined) return [];
      return [toPoint(one, one.source, parseVmId(vm, 'the name of a dataset', 'failed'), incrementOf)];
    });
  }

  async isEmpty(): Promise<boolean> {
    return (await this.points()).length === 0;
  }

  async inspect(point: StoredPoint): Promise<PointContent> {
    const dataset = await this.#dataset(point.vmId);
    const folder = await dataset.open(await dataset.find(point.source, `backup ${point.source}`));
    const held = (await dataset.server.files.list(folder, [])).filter(({ type }) => type === 'file');
    const path = joinPath(folder, MANIFEST_FILE);
    const manifest = parseManifest((await dataset.server.files.read(path, '')).toString(), path);
    const files = held.map(({ name, sizeBytes }) => {
      const noted = manifest.files.find((file) => file.name === name);
      return { name, sizeBytes, virtualSizeMb: noted?.virtualSizeMb };
    });
    const told = { ...point, vmName: manifest.vmName, defects: defectsOf(manifest, held) };
    return { point: told, manifest, place: folder, files };
  }

  async checks(points: readonly StoredPoint[], extent: CheckExtent): Promise<readonly CheckItem[]> {
    const server = await this.#means.server();
    const { config, context } = this.#means;
    const [pool = config.dataset] = config.dataset.split('/');
    const dataset = (vmId: VmId): VmDataset => new VmDataset(server, config, context.datastore.id, vmId);
    return checksOf(points, extent, { server, pool, dataset, log: context.log });
  }

  async leftovers(): Promise<readonly Leftover[]> {
    const server = await this.#means.server();
    const { config, context } = this.#means;
    const listed = await server.run(zfs.list(`${config.dataset}/${context.datastore.id}`, 'tree'));
    const mountpoint = listed[0]?.mountpoint;
    if (mountpoint === undefined) return [];
    const place = parseAbsolutePath(mountpoint, 'the mountpoint', 'failed');
    const found = await server.run(listDeadFillings(joinPath(place, INCOMING))).catch(() => []); // nothing was ever received
    const remove = async (vmId: VmId): Promise<void> => shrink(await this.#dataset(vmId), place, context);
    const abandoned = await abandonedDatasets(server, listed, place, remove);
    return [...found.map((one) => leftFilling(server, one)), ...abandoned];
  }

  async lost(vmId?: VmId): Promise<readonly LostPoint[]> {
    const server = await this.#means.server();
    const { config, context } = this.#means;
    const place = await placeOf(server, `${config.dataset}/${context.datastore.id}`);
    return place === undefined ? [] : lostPoints(server, place, vmId, () => this.points(vmId));
  }

  async removePoints(points: readonly StoredPoint[]): Promise<void> {
    for (const vmId of new Set(points.map((point) => point.vmId))) {
      const sources = points.filter((point) => point.vmId === vmId).map(({ source }) => source);
      await this.#means.destroy(await this.#dataset(vmId), sources);
    }
  }

  /** A VM without a dataset has no backups; a datastore without one is an error. */
  async #list(name: string, root: string): Promise<Dataset[]> {
    const server = await this.#means.server();
    const listed = await server.run(zfs.list(name, 'tree')).catch(name === root ? undefined : ifMissing);
    return listed ?? (await server.run(zfs.list(root, 'filesystem')));
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
  const { parent, chain, increment, image, job, bytes, disks, name: hex } = properties;
  return {
    ...{ vmId, source, chain, repository: name, replaces: [], defects: [], hasManifest: true, standsAlone: true },
    vmName: hex === undefined ? undefined : Buffer.from(hex, 'hex').toString(),
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
