import { writeFile } from 'node:fs/promises';
import { readHeaders } from '../command/qcow2-header';
import * as qemuImg from '../command/qemu-img';
import type { Driver, Engine } from '../engine/engine';
import type { Inventory, StoredPoint } from '../engine/inventory';
import { DriverError } from '../errors';
import type { Host } from '../host/host';
import { type AbsolutePath, type DiskId, joinPath } from '../opennebula/ids';
import { PartFile, partName, putInPlace, sha256Of } from './part-file';
import type { RestoredFile, RestoreRecord } from './restore-record';
import type { Screen } from './screen';

/** A disk to restore. */
export interface WantedDisk {
  /** The name that it gets. */
  readonly name: string;
  readonly diskId: DiskId;
  /** What it is, for the record. */
  readonly of: string;
  readonly url: string;
  /** `stored`: as it comes, which is an archive of exports. */
  readonly format: 'qcow2' | 'raw' | 'stored';
  /** What the download must be, where that is known. */
  readonly sizeBytes: number | undefined;
  readonly sha256: string | undefined;
  /** How many bytes will come, for the progress; undefined: it is not known, or an engine that merges tells when it has. */
  readonly sentBytes: number | undefined;
  /** The backups that it is merged of, where nothing but the checksums of their files proves what comes of it. */
  readonly links: readonly StoredPoint[];
  /** The sizes that the manifest and vm.xml say it has, in MB. */
  readonly virtualSizesMb: readonly number[];
}

/** What restoring a disk needs. */
export interface DiskMeans {
  readonly folder: AbsolutePath;
  readonly engine: Engine;
  readonly inventory: Inventory;
  readonly driver: Driver;
  readonly record: RestoreRecord;
  readonly local: Host;
  readonly hasQemu: boolean;
  readonly screen: Screen;
  readonly signal: AbortSignal;
}

/**
 * Downloads a disk beside its place, compares it with all that is known of it, and only then gives it its name. What is
 * not complete is removed again; what a kill leaves behind, the next run removes.
 */
export async function restoreDisk(disk: WantedDisk, means: DiskMeans): Promise<RestoredFile> {
  const { folder, engine, driver, record, screen, signal } = means;
  const part = new PartFile(folder, disk.name);
  const url = driver.parseUrl(disk.url);
  try {
    const proven = await proveLinks(disk, means);
    screen.step(`restore ${disk.name}`);
    let isComing = false;
    const onBytes = (bytes: number): void => {
      // all before the first byte, as the merge of a chain, are steps of the engine
      if (!isComing) screen.step(`fetch ${disk.name}`);
      isComing = true;
      screen.transfer(bytes, disk.sentBytes ?? 0);
    };
    await part
      .fill((output) => engine.download(url, output), onBytes)
      .finally(() => (signal.aborted ? undefined : engine.endDownload(url)));
    const verified = [...proven, ...compare(part, disk)];
    const ready = disk.format === 'stored' ? part.path : await converted(part.path, disk, verified, means);
    if (ready !== part.path) screen.step(`read ${disk.name} for its checksum`);
    const sha256 = ready === part.path ? part.sha256() : ((await sha256Of(ready, signal)) ?? '');
    const sizeBytes = (await means.local.files.list(folder, [])).find(({ name }) =>
      ready.endsWith(`/${name}`),
    )?.sizeBytes;
    const file = { name: disk.name, of: disk.of, sizeBytes: sizeBytes ?? 0, sha256, verified };
    await record.note(file);
    await putInPlace(ready, joinPath(folder, disk.name));
    return file;
  } finally {
    await part.remove();
    await means.local.files.remove(joinPath(folder, partName(`converted.${disk.name}`)));
  }
}

/**
 * Compares what the disk is merged of with the manifests, before it is fetched; of a file whose manifest has no checksum, or is
 * not there, only the form is looked at. Returns what was compared for the record. Throws `damaged`.
 */
async function proveLinks({ name, diskId, links }: WantedDisk, { inventory, screen }: DiskMeans): Promise<string[]> {
  if (links.length === 0) return [];
  const items = await inventory.checks(links, { share: 1, seed: 0, bandwidthLimitKib: undefined, diskId });
  for (const [index, { run }] of items.entries()) {
    screen.step(`check what ${name} is merged of, ${index + 1} of ${items.length}`);
    const found = (await run()).find((damage) => damage.diskId === diskId);
    if (found !== undefined) throw damaged(`backup ${found.source}, which ${name} needs, is damaged: ${found.what}`);
  }
  const files = links.flatMap(({ disks }) => disks.filter(({ id }) => id === diskId)).length;
  const summed = items.flatMap((item) => item.summed ?? []).length;
  if (summed === 0) return [];
  return [summed === files ? 'sha256 of its chain' : `sha256 of ${summed} of ${files} in its chain`];
}

/** Compares the download with the size that is stored, and with the manifest's checksum. Throws `damaged`. */
function compare(part: PartFile, { name, sizeBytes, sha256 }: WantedDisk): string[] {
  if (sizeBytes !== undefined && part.bytes !== sizeBytes)
    throw damaged(`${name} came with ${part.bytes} bytes, its backup holds ${sizeBytes}`);
  if (sha256 !== undefined && part.sha256() !== sha256) throw damaged(`${name} has not the checksum of its manifest`);
  if (part.bytes === 0) throw damaged(`${name} came empty`);
  return [...(sizeBytes === undefined ? [] : ['size']), ...(sha256 === undefined ? [] : ['sha256'])];
}

/** Checks what came and brings it into the wanted format; returns where it is then. Throws `damaged`. */
async function converted(
  path: AbsolutePath,
  { name, diskId, format, virtualSizesMb }: WantedDisk,
  verified: string[],
  { local, hasQemu, folder, screen }: DiskMeans,
): Promise<AbsolutePath> {
  const [header] = await local.run(readHeaders([path]));
  if (header === undefined) throw damaged(`${name} cannot be read`);
  const isQcow2 = header.format === 'qcow2';
  if (hasQemu && isQcow2) {
    await local.run(qemuImg.checkAlone(path));
    verified.push('qemu-img check');
  }
  const sizeMb = Math.ceil(header.virtualSizeBytes / 2 ** 20);
  const least = Math.min(...virtualSizesMb);
  if (virtualSizesMb.includes(sizeMb)) verified.push('virtual size');
  else if (virtualSizesMb.length > 0 && sizeMb < least && !isQcow2)
    throw damaged(`${name} has ${sizeMb} MB, it should have ${least}`);
  else if (virtualSizesMb.length > 0) screen.warn(`${name} has ${sizeMb} MB, vm.xml and manifest say ${least}`);
  if (header.format === format) return path;
  if (!hasQemu) {
    throw new DriverError(
      'noProgram',
      `${name} is stored as ${header.format}, and qemu-img is not here to convert it`,
      {
        hint: 'Install qemu-utils, or give the other --format',
      },
    );
  }
  const target = joinPath(folder, partName(`converted.${name}`));
  const onLine = (line: string): void => {
    const share = qemuImg.convertedShare(line);
    if (share !== undefined) screen.transfer(share * header.virtualSizeBytes, header.virtualSizeBytes);
  };
  await writeFile(target, '', { mode: 0o600 }); // qemu-img would make it for all to read
  const source = qemuImg.chainOf([{ path, format: header.format }]);
  const convert = qemuImg.convert(source, target, format as 'qcow2' | 'raw');
  await local.run({ ...convert, purpose: `convert disk ${diskId} to ${format}` }, { onLine });
  return target;
}

function damaged(what: string): DriverError {
  return new DriverError('damaged', what, {
    hint: 'Nothing of it was kept; try another backup of the VM, or take it as it is with --unchecked',
  });
}
