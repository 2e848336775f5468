import type { PointFiles } from '../engine/engine';
import type { ContentFile, Inventory, PointContent } from '../engine/inventory';
import { chainUpToPoint, linksOf, type PlacedPoint } from '../engine/inventory-chains';
import { asDriverError, DriverError } from '../errors';
import { parseDiskFile, TPM_FILE } from '../opennebula/backup-url';
import type { Element } from '../opennebula/document';
import type { AbsolutePath, DiskId } from '../opennebula/ids';
import { formatChain } from '../opennebula/increment';
import { fileImageTemplate, imageName, restoredTemplate } from '../opennebula/restore-template';
import { parseStoredVm, virtualSizeMb } from '../opennebula/vm';
import type { WantedDisk } from './disk-restore';
import type { OpenedDatastore } from './open-datastore';

/** Written last: it says that all is there. */
export const VM_TEMPLATE = 'vm.template';

/** What is asked for. */
export interface RestoreWish {
  readonly opened: OpenedDatastore;
  readonly inventory: Inventory;
  readonly folder: AbsolutePath;
  readonly format: 'qcow2' | 'raw';
  /** What has not the checksums of its manifest is wanted, too. */
  readonly unchecked: boolean;
  /** None: all. */
  readonly diskIds: readonly DiskId[];
}

/** A disk, and how much room it will take, where that can be told. */
interface PlannedDisk extends WantedDisk {
  readonly expectedBytes: number | undefined;
}

/** A file that is written as it is. */
interface PlannedText {
  readonly name: string;
  readonly content: Buffer;
}

/** All that a restore will write. */
export interface RestorePlan {
  readonly folder: AbsolutePath;
  readonly disks: readonly PlannedDisk[];
  readonly texts: readonly PlannedText[];
  /** The name of the VM template among them. */
  readonly template: string | undefined;
  /** What of the backup could not be read; no disk is among it. */
  readonly problems: readonly string[];
}

/** Reads all of a backup but its disks, and says what is to be restored. Throws `notFound` or `damaged`. */
export async function planRestore(chosen: PlacedPoint, wish: RestoreWish): Promise<RestorePlan> {
  const { opened, inventory, folder, format } = wish;
  const engine = opened.engine();
  const { vmId, jobId, source } = chosen.point;
  const chain = chainUpToPoint(chosen);
  const problems: string[] = [];
  const attempt = <T>(what: string, work: Promise<T>): Promise<T | undefined> =>
    work.catch((error) => {
      const failure = asDriverError(error);
      if (!['damaged', 'notFound', 'message'].includes(failure.kind)) throw error;
      problems.push(`${what}: ${failure.message}`);
      return undefined;
    });
  const files = await engine.files({ vmId, jobId, chain }, wish.diskIds);
  const content = await attempt('the manifest', inventory.inspect(chosen.point));
  const stored = await attempt('vm.xml', engine.read(files.point, files.vmXml));
  const vm = stored === undefined ? undefined : await attempt('vm.xml', (async () => parseStoredVm(stored))());
  const tpm =
    files.tpm === undefined ? undefined : await attempt('the TPM state', engine.read(files.point, files.tpm.path));
  for (const { file, diskId, what } of content?.point.defects ?? [])
    if (diskId === undefined && !problems.some((told) => told.includes(file))) problems.push(what);

  const diskIds = chooseDisks(files, wish.diskIds, source);
  const isFull = linksOf(chosen).length === 1 && (chosen.point.type === 'FULL' || chosen.point.standsAlone);
  const disks = diskIds.map((diskId) => {
    const { url } = files.disks.get(diskId) as { url: string };
    const isArchive = opened.driver.parseUrl(url).format === 'rbd';
    const known = isFull && !isArchive ? fileOf(content, diskId) : undefined;
    const name = `disk.${diskId}.${isArchive ? 'rbd.tgz' : format}`;
    const expectedBytes = known?.sizeBytes ?? sumOf(chosen, diskId);
    const sizes = [vm === undefined ? undefined : sizeOf(vm, diskId), fileOf(content, diskId)?.virtualSizeMb];
    return {
      ...{ name, diskId, url },
      of: `datastore ${opened.datastore.id} VM ${vmId} chain ${formatChain(chain)} disk ${diskId} ${isArchive ? 'rbd' : format}`,
      format: isArchive ? ('stored' as const) : format,
      sizeBytes: wish.unchecked ? undefined : known?.sizeBytes,
      sha256: inventory.sendsAsStored && !wish.unchecked ? known?.sha256 : undefined,
      links: inventory.sendsAsStored && !isFull && !wish.unchecked ? linksOf(chosen).map(({ point }) => point) : [],
      virtualSizesMb: sizes.filter((size) => size !== undefined),
      expectedBytes,
      sentBytes: linksOf(chosen).length === 1 && !isArchive ? expectedBytes : undefined,
    };
  });
  const base = `${vmId}-${source}`;
  const images = disks.filter((disk) => disk.format !== 'stored');
  const texts = [
    ...(stored === undefined ? [] : [{ name: 'vm.xml', content: documentOf(stored) }]),
    ...(tpm === undefined ? [] : [{ name: TPM_FILE, content: tpm }]),
    ...images.map(({ diskId, name }) => {
      const of = { base, diskId, path: `${folder}/${name}`, format };
      return { name: `disk.${diskId}.image`, content: Buffer.from(fileImageTemplate(of)) };
    }),
  ];
  const wantsAll = wish.diskIds.length === 0 && vm !== undefined;
  const isWhole = wantsAll && vm.find('TEMPLATE') !== undefined;
  if (wantsAll && !isWhole) problems.push('vm.xml: it has no TEMPLATE, so no template for a new VM can be made of it');
  if (isWhole) {
    const names = new Map(images.map(({ diskId }) => [diskId, imageName({ base, diskId })]));
    const options = { name: base, images: names, noIp: false, noNic: false, tpmState: tpm?.toString('base64') };
    texts.push({ name: VM_TEMPLATE, content: Buffer.from(restoredTemplate(vm, options)) });
  }
  return { folder, disks, texts, template: isWhole ? VM_TEMPLATE : undefined, problems };
}

/**
 * Returns how many bytes must be free in the folder to restore these disks one after the other; a size that is not known
 * counts as 0. A qcow2 that is to be raw is there twice until it is converted. Of what the raw takes there are two upper
 * bounds, its virtual size and that of the qcow2, as what has no cluster becomes a hole: the smaller one holds. The virtual
 * size alone would refuse each thin disk that fits. (Compressed clusters can take more; no driver makes any.) The other way
 * round, a raw that is to be qcow2, its size says nothing of what the qcow2 takes: that one is not counted.
 */
export function roomNeeded(disks: readonly Pick<PlannedDisk, 'format' | 'expectedBytes' | 'virtualSizesMb'>[]): number {
  let kept = 0;
  let most = 0;
  for (const { format, expectedBytes = 0, virtualSizesMb } of disks) {
    // what is as large as its disk is stored as raw already
    const isConverted = format === 'raw' && !virtualSizesMb.includes(Math.ceil(expectedBytes / 2 ** 20));
    const virtualMb = virtualSizesMb.length === 0 ? Number.POSITIVE_INFINITY : Math.max(...virtualSizesMb);
    const raw = Math.min(expectedBytes, virtualMb * 2 ** 20);
    most = Math.max(most, kept + expectedBytes + (isConverted ? raw : 0));
    kept += isConverted ? raw : expectedBytes;
  }
  return most;
}

/** The disks that are wanted: all, if none is named. Throws `notFound`. */
export function chooseDisks({ disks }: PointFiles, wanted: readonly DiskId[], source: string): DiskId[] {
  const missing = wanted.find((id) => !disks.has(id));
  if (missing !== undefined) {
    throw new DriverError('notFound', `backup ${source} holds no disk ${missing}`, {
      hint: `Choose one of: ${[...disks.keys()].join(', ')}`,
    });
  }
  if (disks.size === 0) throw new DriverError('notFound', `backup ${source} holds no disk`);
  return wanted.length === 0 ? [...disks.keys()] : [...new Set(wanted)];
}

function fileOf(content: PointContent | undefined, diskId: DiskId): ContentFile | undefined {
  return content?.files.find(({ name }) => parseDiskFile(name)?.diskId === diskId);
}

/** What the files of a disk take in all its chain: a merged one hardly takes more. */
function sumOf(chosen: PlacedPoint, diskId: DiskId): number | undefined {
  const sizes = linksOf(chosen).flatMap(({ point }) => point.disks.filter(({ id }) => id === diskId));
  const known = sizes.flatMap(({ sizeBytes }) => sizeBytes ?? []);
  return known.length === sizes.length ? known.reduce((sum, size) => sum + size, 0) : undefined;
}

function sizeOf(vm: Element, diskId: DiskId): number | undefined {
  try {
    return virtualSizeMb(vm, diskId);
  } catch {
    return undefined; // of a disk that vm.xml does not know
  }
}

/** The VM's document as it is, where it was stored in base64. */
function documentOf(stored: Buffer): Buffer {
  const text = stored.toString('utf8').trimStart();
  return text.startsWith('<') ? stored : Buffer.from(text.replace(/\s+/g, ''), 'base64');
}
