import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { BackupSource, StoredBackup } from '../../lib/engine/engine';
import type { DiskId, ImageId, IncrementId, VmId } from '../../lib/opennebula/ids';
import type { BackupImage } from '../../lib/opennebula/image';
import type { Chain } from '../../lib/opennebula/increment';
import type { Bed } from '../conformance/bed';
import { layIncrement, layWhole, type PlainDisk } from './plain-disk';

/** What a VM is at one moment. */
interface Content {
  readonly disks: ReadonlyMap<number, PlainDisk>;
  readonly vmXml: string;
  readonly tpm: string | undefined;
}

/** A backup, and the plain copy of what it must restore to. */
export interface PlainPoint extends Content {
  readonly incrementId: number;
  readonly source: string;
}

/** A backup image as oned knows it. */
export interface PlainImage {
  readonly id: number;
  /** A full backup that no increment continues. */
  readonly isStandalone: boolean;
  readonly points: readonly PlainPoint[];
}

/** What the next backup is. */
export interface Wish {
  /** The image that it continues; undefined for a full backup. */
  readonly image?: PlainImage;
  readonly isStandalone?: boolean;
  /** oned does not say what it builds on. */
  readonly isSilent?: boolean;
}

/** A VM that lives, the model of its backups, and the only source of chance in both. */
export class PlainVm {
  readonly id: VmId;
  readonly random: () => number;
  images: PlainImage[] = [];
  #disks = new Map<number, PlainDisk>();
  #hasTpm = false;
  /** The backup that was stored last. */
  #head: string | undefined;
  #lastByte = 0;
  #lastImage = 0;
  #moments = 0;

  constructor(id: number, random: () => number) {
    this.id = id as VmId;
    this.random = random;
    this.#add();
  }

  chance(probability: number): boolean {
    return this.random() < probability;
  }

  upTo(count: number): number {
    return Math.floor(this.random() * count);
  }

  oneOf<T>(list: readonly T[]): T | undefined {
    return list[this.upTo(list.length)];
  }

  /** Lets it live, and lays its next backup into the staging folder. */
  async lay(bed: Bed, wish: Wish): Promise<{ readonly source: BackupSource; readonly content: Content }> {
    const parent = wish.image?.points.at(-1);
    const before = parent === undefined ? this.images.at(-1)?.points.at(-1) : parent;
    if (before?.source !== this.#head && this.chance(0.7)) this.#restore(before);
    const content = this.#live(parent === undefined);
    const incrementId = (parent?.incrementId ?? -1) + 1;
    const folder = bed.staging(this.id);
    await rm(folder, { recursive: true, force: true });
    await mkdir(folder, { recursive: true });
    await writeFile(join(folder, 'vm.xml'), content.vmXml);
    if (content.tpm !== undefined) await writeFile(join(folder, 'disk.tpm.0'), content.tpm);
    for (const [id, disk] of content.disks) {
      const file = join(folder, `disk.${id}.${incrementId}`);
      const old = parent?.disks.get(id);
      if (old === undefined) layWhole(file, disk, this.chance(0.25) ? 'raw' : 'qcow2');
      else layIncrement(file, disk, old, [this.upTo(disk.length)]);
    }
    const vm = {
      id: this.id,
      name: `vm-${this.id}`,
      bridgeHost: undefined,
      incrementId: incrementId as IncrementId,
      parentId: parent?.incrementId as IncrementId | undefined,
      isStandalone: wish.isStandalone ?? false,
      diskSizesMb: new Map(),
      chainImageId: wish.image?.id as ImageId | undefined,
    };
    const diskIds = [...content.disks.keys()] as unknown as readonly [DiskId, ...DiskId[]];
    const parentSource = async (): Promise<string | undefined> => (wish.isSilent ? undefined : parent?.source);
    return { source: { host: bed.host, folder, diskIds, vm, jobId: undefined, parentSource }, content };
  }

  /** Notes a backup that was stored. */
  note({ image, isStandalone = false }: Wish, { source }: StoredBackup, content: Content): void {
    const incrementId = (image?.points.at(-1)?.incrementId ?? -1) + 1;
    const point = { ...content, incrementId, source };
    this.#head = source;
    if (image === undefined) this.images.push({ id: ++this.#lastImage, isStandalone, points: [point] });
    else this.keep(image, [...image.points, point]);
  }

  /** Notes which backups of an image are left. */
  keep(image: PlainImage, points: readonly PlainPoint[]): void {
    this.images = this.images.flatMap((one) =>
      one.id !== image.id ? [one] : points.length > 0 ? [{ ...one, points }] : [],
    );
  }

  /** An image as a message of oned holds it. */
  imageOf({ id, points }: PlainImage): BackupImage {
    const chain = points.map(({ incrementId, source }) => ({ id: incrementId as IncrementId, source }));
    return { id: id as ImageId, vmId: this.id, jobId: undefined, format: 'raw', chain: chain as unknown as Chain };
  }

  /** Somebody restores it: it is again what it was then. */
  #restore(point: PlainPoint | undefined): void {
    this.#disks = new Map(point?.disks ?? this.#disks);
  }

  #live(isFull: boolean): Content {
    if (this.chance(0.2)) this.#add();
    if (this.chance(0.15) && this.#disks.size > 1) this.#disks.delete(this.oneOf([...this.#disks.keys()]) ?? 0);
    for (const [id, disk] of this.#disks) {
      const growth = this.chance(0.2) ? 1 + this.upTo(6) : 0;
      const resized = isFull && this.chance(0.1) ? disk.slice(0, 2) : [...disk, ...Array<number>(growth).fill(0)];
      for (let n = this.upTo(4); n > 0; n--) resized[this.upTo(resized.length)] = this.chance(0.2) ? 0 : this.#byte();
      this.#disks.set(id, resized);
    }
    if (this.chance(0.2)) this.#hasTpm = !this.#hasTpm;
    const moment = `moment ${++this.#moments} of VM ${this.id}`;
    return { disks: new Map(this.#disks), vmXml: moment, tpm: this.#hasTpm ? `the TPM at ${moment}` : undefined };
  }

  /** Adds a disk under the smallest free number: also under one that a removed disk had. */
  #add(): void {
    let id = 0;
    while (this.#disks.has(id)) id += 1;
    this.#disks.set(
      id,
      Array.from({ length: 4 + this.upTo(12) }, () => (this.chance(0.4) ? 0 : this.#byte())),
    );
  }

  #byte(): number {
    this.#lastByte = (this.#lastByte % 255) + 1;
    return this.#lastByte;
  }
}
