import { sha256, sha256Slowly } from '../../command/checksum';
import { readHeaders } from '../../command/qcow2-header';
import * as qemuImg from '../../command/qemu-img';
import { asDriverError } from '../../errors';
import type { Host } from '../../host/host';
import { parseDiskFile } from '../../opennebula/backup-url';
import { type AbsolutePath, type DiskId, joinPath } from '../../opennebula/ids';
import type { ManifestFile } from '../../opennebula/manifest';
import type { CheckExtent, CheckItem, Damage, StoredPoint } from '../inventory';
import { sampled } from '../sampled';
import { needOnServer } from '../server-tools';

/** A file as a manifest names it; its checksum only where that is still its own. */
export type NotedFile = Omit<ManifestFile, 'sha256'> & { readonly sha256?: string | undefined };

/** A backup, and what its manifest says of its files. */
interface Stored {
  readonly point: StoredPoint;
  readonly noted: readonly NotedFile[];
}

interface Place {
  readonly server: Host;
  readonly basePath: AbsolutePath;
}

/** One check for each backup: that its files are there, the form of its disks, and as much of the data as is asked for. */
export async function checksOf(stored: readonly Stored[], extent: CheckExtent, place: Place): Promise<CheckItem[]> {
  const hasQemu = (await place.server.programs(['qemu-img'])).has('qemu-img');
  const isWanted = (disk: { readonly diskId: DiskId } | undefined): boolean =>
    extent.diskId === undefined || disk?.diskId === extent.diskId;
  const known = stored.flatMap(({ point, noted }) =>
    noted
      .filter(({ name, sha256: hash }) => hash !== undefined && isWanted(parseDiskFile(name)))
      .map((file) => ({ ...file, point })),
  );
  const files = known.map(({ point, name, sizeBytes }) => ({
    key: `${point.vmId}/${point.source}/${name}`,
    sizeBytes,
  }));
  const read = sampled(files, extent);
  const backups = stored.map(({ point, noted }) => {
    const chosen = noted.filter(({ name }) => read.has(`${point.vmId}/${point.source}/${name}`));
    const looked = { ...point, disks: point.disks.filter(({ id: diskId }) => isWanted({ diskId })) };
    return {
      id: `${hasQemu ? 'backup' : 'data'}:${point.vmId}/${point.source}`,
      about: `VM ${point.vmId}, backup ${point.source}`,
      points: [point],
      summed: chosen.map(({ name }) => name),
      run: () => new BackupCheck(looked, place, hasQemu).run(chosen, extent.bandwidthLimitKib),
    };
  });
  // The rest is looked at without it; but nobody is told that all is well.
  const points = stored.map(({ point }) => point).filter(({ disks }) => disks.some(({ file }) => isForQemu(file)));
  return hasQemu || points.length === 0 ? backups : [lackOfQemu(points, place.server), ...backups];
}

function isForQemu(file: string): boolean {
  return parseDiskFile(file)?.format !== 'rbd';
}

/** In place of the form of all disks, where that cannot be looked at. */
function lackOfQemu(points: readonly StoredPoint[], server: Host): CheckItem {
  const run = async (): Promise<Damage[]> => {
    await needOnServer(server, ['qemu-img']);
    return [];
  };
  return { id: 'form', about: 'the form of the disks', points, run };
}

class BackupCheck {
  readonly #point: StoredPoint;
  readonly #server: Host;
  readonly #folder: AbsolutePath;
  readonly #hasQemu: boolean;

  constructor(point: StoredPoint, { server, basePath }: Place, hasQemu: boolean) {
    this.#point = point;
    this.#server = server;
    this.#folder = joinPath(basePath, point.vmId, point.source);
    this.#hasQemu = hasQemu;
  }

  async run(read: readonly NotedFile[], bandwidthLimitKib: number | undefined): Promise<Damage[]> {
    const found = this.#point.defects.map(({ file, what }) => this.#damage(file, what));
    const isKnown = (name: string): boolean => found.some(({ file }) => file === name);
    const unread = read.filter(({ name }) => !isKnown(name));
    found.push(...(await this.#wrongData(unread, bandwidthLimitKib)));
    // What is known to be damaged need not be looked at for its form.
    for (const { file } of this.#point.disks.filter((disk) => !isKnown(disk.file))) {
      if (!isForQemu(file)) continue;
      const why = await this.#wrongForm(joinPath(this.#folder, file));
      if (why !== undefined) found.push(this.#damage(file, why));
    }
    return found;
  }

  async #wrongData(files: readonly NotedFile[], limitKib: number | undefined): Promise<Damage[]> {
    if (files.length === 0) return [];
    const paths = files.map(({ name }) => joinPath(this.#folder, name));
    const hashes = await this.#server.run(limitKib === undefined ? sha256(paths) : sha256Slowly(paths, limitKib));
    return files
      .filter((file, index) => file.sha256 !== hashes[index])
      .map(({ name: file }) => this.#damage(file, `${file}: its checksum is not that of the manifest`));
  }

  /** What is wrong with the form of a disk: by qemu-img, or by its header alone. */
  async #wrongForm(path: AbsolutePath): Promise<string | undefined> {
    const name = path.slice(path.lastIndexOf('/') + 1);
    try {
      const [header] = await this.#server.run(readHeaders([path]));
      const isQcow2 = header?.format === 'qcow2';
      if (!isQcow2 && this.#point.type === 'INCREMENT' && (this.#point.incrementId ?? 0) > 0 && header !== undefined) {
        return header.virtualSizeBytes === 0 ? `${name}: it is empty` : `${name}: an increment, but no qcow2`;
      }
      if (isQcow2 && this.#hasQemu) await this.#server.run(qemuImg.checkAlone(path));
      return undefined;
    } catch (error) {
      const failure = asDriverError(error);
      if (failure.kind === 'damaged') return `${name}: ${failure.message.replace(`${name} is damaged: `, '')}`;
      throw error;
    }
  }

  #damage(file: string, what: string): Damage {
    const { vmId, jobId, source } = this.#point;
    return { vmId, jobId, source, diskId: parseDiskFile(file)?.diskId, file, what };
  }
}
