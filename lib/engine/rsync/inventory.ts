import { type BackupFolder, listBackupFolders } from '../../command/backup-folders';
import { listDeadFillings, removeDeadFilling } from '../../command/leftovers';
import { readHeaders } from '../../command/qcow2-header';
import { removeBackups } from '../../command/receiving';
import { asDriverError, DriverError } from '../../errors';
import type { Host } from '../../host/host';
import { joinPath, parseAbsolutePath, parseVmId, type VmId } from '../../opennebula/ids';
import { MANIFEST_FILE, type Manifest, parseManifest } from '../../opennebula/manifest';
import type { EngineContext } from '../engine';
import type { CheckExtent, CheckItem, Inventory, Leftover, PointContent, StoredPoint } from '../inventory';
import { defect, defectsOf, pointOfLayout, withManifest } from '../inventory-points';
import { needOnServer } from '../server-tools';
import { temporaryLeftovers } from '../temporary-leftovers';
import { checksOf } from './checks';
import type { RsyncConfig } from './config';

/** What an inventory needs. */
export interface InventoryMeans {
  readonly server: () => Promise<Host>;
  readonly config: RsyncConfig;
  readonly context: EngineContext;
}

/** What the folders of a datastore hold. */
export class RsyncInventory implements Inventory {
  readonly sendsAsStored = true;
  readonly #means: InventoryMeans;

  constructor(means: InventoryMeans) {
    this.#means = means;
  }

  async points(vmId?: VmId): Promise<readonly StoredPoint[]> {
    const server = await this.#means.server();
    await needOnServer(server, ['find', 'awk']);
    const folders = await server.run(listBackupFolders(this.#means.context.datastore.basePath, vmId));
    return folders.map((folder) => this.#read(folder).point);
  }

  async inspect({ vmId, source }: StoredPoint): Promise<PointContent> {
    const server = await this.#means.server();
    const { basePath } = this.#means.context.datastore;
    const folders = await server.run(listBackupFolders(basePath, vmId));
    const folder = folders.find((one) => one.source === source);
    const place = joinPath(basePath, vmId, source);
    if (folder === undefined) throw new DriverError('notFound', `${place} does not exist`, { host: server.name });
    const { point: listed, manifest } = this.#read(folder);
    const isOpen = manifest === undefined && listed.type === 'INCREMENT';
    const raw = listed.disks.filter(({ file }) => !file.endsWith('.rbdiff'));
    let point = listed;
    if (isOpen && raw.length > 0 && raw.length === listed.disks.length) {
      const headers = await server.run(readHeaders(raw.map(({ file }) => joinPath(place, file))));
      if (headers.every(({ hasBacking }) => !hasBacking)) point = { ...listed, type: 'FULL' };
    }
    const files = folder.files.map(({ name, sizeBytes }) => {
      const noted = manifest?.files.find((file) => file.name === name);
      return { name, sizeBytes, sha256: noted?.sha256, virtualSizeMb: noted?.virtualSizeMb };
    });
    return { point, manifest, place, files };
  }

  async checks(points: readonly StoredPoint[], extent: CheckExtent): Promise<readonly CheckItem[]> {
    const { context, server } = this.#means;
    const stored = await this.#stored(points);
    return checksOf(stored, extent, { server: await server(), basePath: context.datastore.basePath });
  }

  async leftovers(): Promise<readonly Leftover[]> {
    const { context, config } = this.#means;
    const server = await this.#means.server();
    await needOnServer(server, ['du']);
    const found = await server.run(listDeadFillings(context.datastore.basePath));
    const fillings = found.map(({ path, ...facts }): Leftover => {
      const [, what = 'a backup that was being removed'] =
        [
          ['/.receiving-', 'a broken transfer, with which the next backup of the VM would go on'],
          ['/.merging-', 'a merge that was broken off'],
        ].find(([part = '']) => path.includes(part)) ?? [];
      const left = parseAbsolutePath(path, 'an unfinished backup', 'failed');
      return { what, where: `${server.name}:${path}`, ...facts, remove: () => server.run(removeDeadFilling(left)) };
    });
    return [...fillings, ...(await temporaryLeftovers(server, config.temporaryFolder, context.log))];
  }

  async removePoints(points: readonly StoredPoint[]): Promise<void> {
    const server = await this.#means.server();
    const { basePath } = this.#means.context.datastore;
    for (const vmId of new Set(points.map((point) => point.vmId))) {
      const sources = points.filter((point) => point.vmId === vmId).map(({ source }) => source);
      await server.run(removeBackups(joinPath(basePath, vmId), sources));
    }
  }

  /** The backups with their manifests as they are now. */
  async #stored(points: readonly StoredPoint[]): Promise<{ point: StoredPoint; manifest: Manifest | undefined }[]> {
    const server = await this.#means.server();
    const vmIds = new Set(points.map(({ vmId }) => vmId));
    const only = vmIds.size === 1 ? points[0]?.vmId : undefined;
    const folders = await server.run(listBackupFolders(this.#means.context.datastore.basePath, only));
    const wanted = new Set(points.map(({ vmId, source }) => `${vmId}/${source}`));
    return folders.filter(({ vmId, source }) => wanted.has(`${vmId}/${source}`)).map((one) => this.#read(one));
  }

  #read({ vmId, source, modifiedMs, files, manifest: text }: BackupFolder) {
    const vmXml = files.find(({ name }) => name === 'vm.xml');
    const timeMs = vmXml?.modifiedMs ?? modifiedMs;
    const point = pointOfLayout({
      ...{ vmId: parseVmId(vmId, 'a folder of the datastore'), repository: vmId, source, files, replaces: [], timeMs },
    });
    const flaws = vmXml === undefined ? [defect('vm.xml', 'vm.xml is gone')] : [];
    if (text === undefined) {
      const noText = point.hasManifest ? [defect(MANIFEST_FILE, `${MANIFEST_FILE} cannot be read`)] : [];
      return { point: { ...point, defects: [...flaws, ...noText] }, manifest: undefined };
    }
    const place = `manifest.json of backup ${source} of VM ${vmId}`;
    try {
      const manifest = parseManifest(text, place);
      const noted = Date.parse(manifest.time) || timeMs;
      // A merged backup is of the time of what was merged: that is what vm.xml tells.
      const isMerged = (manifest.replaces?.length ?? 0) > 0;
      const at = isMerged ? Math.min(noted, timeMs) : noted;
      const told = withManifest({ ...point, timeMs: at, jobId: manifest.jobId }, manifest);
      return { point: { ...told, defects: defectsOf(manifest, files) }, manifest };
    } catch (error) {
      const none = defect(MANIFEST_FILE, asDriverError(error).message);
      return { point: { ...point, hasManifest: true, defects: [...flaws, none] }, manifest: undefined };
    }
  }
}
