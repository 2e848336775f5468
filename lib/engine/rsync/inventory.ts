import { type BackupFolder, listBackupFolders } from '../../command/backup-folders';
import { listDeadFillings } from '../../command/leftovers';
import { readHeaders } from '../../command/qcow2-header';
import { checkAlone } from '../../command/qemu-img';
import { removeBackups } from '../../command/receiving';
import { asDriverError, DriverError } from '../../errors';
import type { Host } from '../../host/host';
import { joinPath, parseVmId, type VmId } from '../../opennebula/ids';
import { MANIFEST_FILE, type Manifest, parseManifest } from '../../opennebula/manifest';
import type { EngineContext } from '../engine';
import type { CheckExtent, CheckItem, Inventory, Leftover, PointContent, StoredPoint } from '../inventory';
import { keyOf } from '../inventory-chains';
import { defect, defectsOf, isRewritten, pointOfLayout, withManifest } from '../inventory-points';
import { leftFilling } from '../left-filling';
import { needOnServer } from '../server-tools';
import { temporaryLeftovers } from '../temporary-leftovers';
import { checksOf, type NotedFile } from './checks';
import type { RsyncConfig } from './config';

/** What an inventory needs. */
export interface InventoryMeans {
  readonly server: () => Promise<Host>;
  readonly config: RsyncConfig;
  readonly context: EngineContext;
}

/** A backup as its folder tells it. */
interface Read {
  readonly point: StoredPoint;
  readonly manifest: Manifest | undefined;
  /** What of its manifest is of the files as they are now. */
  readonly noted: readonly NotedFile[];
  readonly files: BackupFolder['files'];
}

/** What the folders of a datastore hold. */
export class RsyncInventory implements Inventory {
  readonly sendsAsStored = true;
  readonly isWrittenInto = true;
  readonly #means: InventoryMeans;

  constructor(means: InventoryMeans) {
    this.#means = means;
  }

  async points(vmId?: VmId): Promise<readonly StoredPoint[]> {
    await needOnServer(await this.#means.server(), ['find', 'awk']);
    return (await this.#readAll(vmId)).map(({ point }) => point);
  }

  async isEmpty(): Promise<boolean> {
    const server = await this.#means.server();
    const held = await server.files.list(this.#means.context.datastore.basePath, []);
    return !held.some(({ name, type }) => type === 'folder' && /^[0-9]+$/.test(name));
  }

  async inspect({ vmId, source }: StoredPoint): Promise<PointContent> {
    const server = await this.#means.server();
    const place = joinPath(this.#means.context.datastore.basePath, vmId, source);
    const all = await this.#readAll(vmId);
    const read = all.find(({ point }) => point.source === source);
    if (read === undefined) throw new DriverError('notFound', `${place} does not exist`, { host: server.name });
    const { point, manifest, noted } = isOpen(read, all) ? await this.#look(read) : read;
    const files = read.files.map(({ name, sizeBytes }) => {
      const { sha256, virtualSizeMb } = noted.find((file) => file.name === name) ?? {};
      return { name, sizeBytes, sha256, virtualSizeMb };
    });
    return { point, manifest, place, files };
  }

  async checks(points: readonly StoredPoint[], extent: CheckExtent): Promise<readonly CheckItem[]> {
    const { context, server } = this.#means;
    const vmIds = new Set(points.map(({ vmId }) => vmId));
    const all = await this.#readAll(vmIds.size === 1 ? points[0]?.vmId : undefined);
    const wanted = new Set(points.map(keyOf));
    const stored: Read[] = [];
    for (const read of all.filter(({ point }) => wanted.has(keyOf(point))))
      stored.push(read.manifest !== undefined && isOpen(read, all) ? await this.#look(read) : read);
    return checksOf(stored, extent, { server: await server(), basePath: context.datastore.basePath });
  }

  async leftovers(): Promise<readonly Leftover[]> {
    const { context, config } = this.#means;
    const server = await this.#means.server();
    await needOnServer(server, ['du', 'find']);
    const found = await server.run(listDeadFillings(context.datastore.basePath));
    const fillings = found.map((one) => leftFilling(server, one));
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

  async #readAll(vmId: VmId | undefined): Promise<Read[]> {
    const server = await this.#means.server();
    const folders = await server.run(listBackupFolders(this.#means.context.datastore.basePath, vmId));
    return folders.map((folder) => this.#read(folder));
  }

  /**
   * What a backup is by the headers of its disks: the stock driver merges into the newest folder, and leaves a manifest of ours
   * there as it was. A disk without a backing file is a whole one, unless it was cut short.
   */
  async #look(read: Read): Promise<Read> {
    const { point, manifest, noted } = read;
    const server = await this.#means.server();
    const files = point.disks.map(({ file }) => file);
    if (files.length === 0 || files.some((file) => file.endsWith('.rbdiff'))) return read;
    const folder = joinPath(this.#means.context.datastore.basePath, point.vmId, point.source);
    try {
      const headers = await server.run(readHeaders(files.map((file) => joinPath(folder, file))));
      if (headers.some(({ hasBacking }) => hasBacking)) return read;
      // Whoever merges makes qcow2 of it: an increment that is none is damaged, as its checksum tells.
      if (manifest !== undefined && headers.some(({ format }) => format !== 'qcow2')) return read;
      const proven = manifest === undefined ? [] : headers.filter(({ format }) => format === 'qcow2');
      for (const { path } of proven) await server.run(checkAlone(path));
    } catch (error) {
      if (asDriverError(error).kind === 'damaged') return read;
      throw error;
    }
    const defects = point.defects.filter(({ file }) => !files.includes(file));
    const sizes = new Map(read.files.map(({ name, sizeBytes }) => [name, sizeBytes]));
    // What was merged into is larger than its manifest says; the checksum of what is not holds.
    const isOther = ({ name, sizeBytes }: NotedFile): boolean => files.includes(name) && sizes.get(name) !== sizeBytes;
    const kept = noted.map((file) => (isOther(file) ? { ...file, sha256: undefined } : file));
    return { ...read, point: { ...point, type: 'FULL', defects }, noted: kept };
  }

  #read({ vmId, source, modifiedMs, files, manifest: text }: BackupFolder): Read {
    const vmXml = files.find(({ name }) => name === 'vm.xml');
    const timeMs = vmXml?.modifiedMs ?? modifiedMs;
    const point = pointOfLayout({
      ...{ vmId: parseVmId(vmId, 'a folder of the datastore'), repository: vmId, source, files, replaces: [], timeMs },
    });
    const flaws = vmXml === undefined ? [defect('vm.xml', 'vm.xml is gone')] : [];
    if (text === undefined) {
      const noText = point.hasManifest ? [defect(MANIFEST_FILE, `${MANIFEST_FILE} cannot be read`)] : [];
      return { point: { ...point, defects: [...flaws, ...noText] }, manifest: undefined, noted: [], files };
    }
    const place = `manifest.json of backup ${source} of VM ${vmId}`;
    try {
      const manifest = parseManifest(text, place);
      const noted = Date.parse(manifest.time) || timeMs;
      // A merged backup is of the time of what was merged: that is what vm.xml tells.
      const isMerged = (manifest.replaces?.length ?? 0) > 0;
      const at = isMerged ? Math.min(noted, timeMs) : noted;
      const told = withManifest({ ...point, timeMs: at, jobId: manifest.jobId }, manifest);
      return { point: { ...told, defects: defectsOf(manifest, files) }, manifest, noted: manifest.files, files };
    } catch (error) {
      const none = defect(MANIFEST_FILE, asDriverError(error).message);
      return {
        point: { ...point, hasManifest: true, defects: [...flaws, none] },
        manifest: undefined,
        noted: [],
        files,
      };
    }
  }
}

/** Whether the headers of its disks may tell more: nothing else says what it is, or what says so is not so any more. */
function isOpen({ point, manifest }: Read, all: readonly Read[]): boolean {
  if (point.type !== 'INCREMENT') return false;
  const isParent = ({ vmId, incrementId, imageId }: StoredPoint): boolean =>
    vmId === point.vmId && incrementId === point.parentId && [undefined, imageId].includes(point.imageId);
  return manifest === undefined || isRewritten(point) || !all.some((one) => isParent(one.point));
}
