import { readFileSync } from 'node:fs';
import type { Writable } from 'node:stream';
import type {
  BackupSource,
  Engine,
  FlattenedChain,
  Point,
  PointFiles,
  StoredBackup,
  StoredFile,
} from '../../lib/engine/engine';
import { parentIsGone, proveDisks } from '../../lib/engine/parent';
import { examineStaging, type Staged } from '../../lib/engine/staging';
import { DriverError } from '../../lib/errors';
import { abortReason } from '../../lib/host/execute';
import type { Host, Space } from '../../lib/host/host';
import { type BackupUrl, formatBackupUrl, parseDiskFile, TPM_FILE } from '../../lib/opennebula/backup-url';
import {
  type AbsolutePath,
  type DatastoreId,
  type DiskId,
  type JobId,
  joinPath,
  parseVmId,
  type VmId,
} from '../../lib/opennebula/ids';
import type { BackupImage } from '../../lib/opennebula/image';
import { type Chain, formatChain, type Increment, lastOf } from '../../lib/opennebula/increment';
import { mergeDisks } from './memory-merge';

/** A backup: its files by their path on the host, and the sources that it was merged from. */
interface Held {
  readonly source: string;
  readonly vmId: VmId;
  readonly jobId: JobId | undefined;
  readonly replaces: readonly string[];
  readonly files: ReadonlyMap<AbsolutePath, Buffer>;
}

/** What several memory engines share: the backup server, so to speak. */
export class MemoryStore {
  readonly backups = new Map<string, Held>();
  #named = 0;

  nextSource(): string {
    return `m${String(++this.#named).padStart(7, '0')}`;
  }

  copy(): MemoryStore {
    const copy = new MemoryStore();
    for (const [source, held] of this.backups) copy.backups.set(source, held);
    copy.#named = this.#named;
    return copy;
  }
}

/** What the memory engine gets to work with. */
export interface MemoryContext {
  readonly store: MemoryStore;
  /** On which the staging folders are. */
  readonly host: Host;
  readonly datastoreId: DatastoreId;
  readonly signal: AbortSignal;
  readonly onStep: (what: string) => void;
}

/** An engine that keeps backups in memory: the least that fulfils the duties, by which the suite itself is tested. */
export class MemoryEngine implements Engine {
  protected readonly context: MemoryContext;

  constructor(context: MemoryContext) {
    this.context = context;
  }

  async space(): Promise<Space> {
    return { totalBytes: 2 ** 30, freeBytes: 2 ** 29 };
  }

  async backup(source: BackupSource): Promise<StoredBackup> {
    const staged = await examineStaging(this.context.host, source);
    const files = new Map<AbsolutePath, Buffer>();
    for (const { name } of staged.files) {
      await this.step(`read ${name}`);
      const path = joinPath(source.folder, name);
      files.set(path, readFileSync(path));
    }
    await this.step('store');
    await this.proveParent(source, staged.files);
    const stored = this.keep({ vmId: source.vm.id, jobId: source.jobId, replaces: [], files });
    return { source: stored.source, sizeMb: Math.ceil(staged.totalBytes / 2 ** 20), format: staged.format };
  }

  protected async proveParent(source: BackupSource, files: Staged['files']): Promise<void> {
    const { vm, parentSource } = source;
    if (vm.parentId === undefined) return;
    const parent = await parentSource();
    const own = [...this.context.store.backups.values()].filter(({ vmId }) => vmId === vm.id);
    const isIt = ({ source, replaces }: Held): boolean => source === parent || replaces.some((one) => one === parent);
    if (!own.some((held) => parent === undefined || isIt(held))) throw parentIsGone(vm, 'memory');
    const held = parent === undefined ? undefined : own.find(isIt);
    const { host } = this.context;
    if (held !== undefined) await proveDisks(source, files, [...held.files.keys()].map(nameOf), { host, server: host });
  }

  async discard(_vmId: VmId, _jobId: JobId | undefined, source: string): Promise<void> {
    this.context.store.backups.delete(source);
  }

  async files(point: Point): Promise<PointFiles> {
    const { chain, last } = this.resolve(point);
    const stored = { ...point, chain };
    const paths = [...last.files.keys()];
    const toFile = (path: AbsolutePath): StoredFile => ({ path, url: this.#url(stored, path) });
    const disks = new Map<DiskId, StoredFile>();
    for (const path of paths) {
      const disk = parseDiskFile(nameOf(path));
      if (disk !== undefined) disks.set(disk.diskId, toFile(path));
    }
    const tpm = paths.find((path) => nameOf(path) === TPM_FILE);
    const vmXml = paths.find((path) => nameOf(path) === 'vm.xml') as AbsolutePath;
    return { point: stored, disks, tpm: tpm === undefined ? undefined : toFile(tpm), vmXml };
  }

  async read(point: Point, path: AbsolutePath): Promise<Buffer> {
    const found = this.resolve(point).last.files.get(path);
    if (found === undefined) throw new DriverError('notFound', `${path} is not in the backup`);
    return found;
  }

  async remove(image: BackupImage): Promise<void> {
    await this.step('remove');
    const sources = image.chain.map(({ source }) => source);
    for (const held of this.own(image)) {
      if ([held.source, ...held.replaces].some((source) => sources.includes(source))) this.forget(held);
    }
  }

  async flatten(image: BackupImage, keepLast: number): Promise<FlattenedChain | undefined> {
    const count = image.chain.length - keepLast + 1;
    if (count < 2) return undefined;
    const merged = image.chain.slice(0, count) as unknown as Chain;
    const replaces = merged.map(({ source }) => source);
    const existing = this.own(image).find((held) => held.replaces.join() === replaces.join());
    const full = existing ?? (await this.#merge(image, merged, replaces));
    for (const held of this.own(image)) {
      const old = [held.source, ...held.replaces].some((source) => replaces.includes(source));
      if (old && held.source !== full.source) {
        await this.step(`forget ${held.source}`);
        this.forget(held);
      }
    }
    const bytes = [...full.files.values()].reduce((sum, { length }) => sum + length, 0);
    const chain: Chain = [{ id: lastOf(merged).id, source: full.source }, ...image.chain.slice(count)];
    return { sizeMb: Math.ceil(bytes / 2 ** 20), chain };
  }

  pointOf({ path, jobId, chain }: BackupUrl): Point {
    return { vmId: parseVmId(/\/(\d+)\/backup\//.exec(path)?.[1] ?? '', 'the VM'), jobId, chain };
  }

  async download(url: BackupUrl, output: Writable): Promise<void> {
    const { links, last } = this.resolve(this.pointOf(url));
    const name = (path: AbsolutePath): DiskId | 'tpm' | undefined =>
      nameOf(path) === TPM_FILE ? 'tpm' : parseDiskFile(nameOf(path))?.diskId;
    const parts = (url.disk === 'tpm' ? [last] : links).flatMap(({ files }) =>
      [...files].filter(([path]) => name(path) === url.disk).map(([, content]) => content),
    );
    if (![...last.files.keys()].some((path) => name(path) === url.disk)) {
      throw new DriverError('notFound', `the backup holds no disk ${url.disk}`);
    }
    output.write(url.disk === 'tpm' ? parts[0] : mergeDisks(parts));
  }

  async endDownload(): Promise<void> {}

  /** A moment at which the action can be cancelled. */
  protected async step(what: string): Promise<void> {
    const { signal, onStep } = this.context;
    onStep(what);
    await new Promise((resolve) => setImmediate(resolve));
    if (signal.aborted) throw abortReason(signal);
  }

  protected keep(backup: Omit<Held, 'source'>): Held {
    const held = { ...backup, source: this.context.store.nextSource() };
    this.context.store.backups.set(held.source, held);
    return held;
  }

  protected forget({ source }: Pick<Held, 'source'>): void {
    this.context.store.backups.delete(source);
  }

  /** The backups of the VM of an image or a point. */
  protected own({ vmId, jobId }: Pick<Point, 'vmId' | 'jobId'>): Held[] {
    return [...this.context.store.backups.values()].filter((held) => held.vmId === vmId && held.jobId === jobId);
  }

  /** The backups of a point; where a flatten merged some of which oned still knows, the merged one. */
  protected resolve(point: Point): { readonly chain: Chain; readonly links: readonly Held[]; readonly last: Held } {
    const own = this.own(point);
    const find = (source: string): Held | undefined => own.find((held) => held.source === source);
    const found = point.chain.map(({ source }) => find(source));
    const missing = found.lastIndexOf(undefined);
    const rest = (from: number): Held[] => found.slice(from) as Held[];
    if (missing === -1) return { chain: point.chain, links: rest(0), last: rest(-1)[0] as Held };
    for (let end = missing; end < point.chain.length; end++) {
      const sources = point.chain.slice(0, end + 1).map(({ source }) => source);
      const merged = own.find((held) => held.replaces.join() === sources.join());
      if (merged === undefined) continue;
      const links = [merged, ...rest(end + 1)];
      const first: Increment = { id: (point.chain[end] as Increment).id, source: merged.source };
      return { chain: [first, ...point.chain.slice(end + 1)], links, last: links[links.length - 1] as Held };
    }
    throw new DriverError('notFound', `a backup of ${formatChain(point.chain)} is gone`);
  }

  async #merge(image: BackupImage, merged: Chain, replaces: readonly string[]): Promise<Held> {
    const { links, last } = this.resolve({ ...image, chain: merged });
    const files = new Map<AbsolutePath, Buffer>();
    for (const [path, content] of last.files) {
      await this.step(`merge ${nameOf(path)}`);
      const disk = parseDiskFile(nameOf(path))?.diskId;
      const parts = links.flatMap((link) =>
        [...link.files].filter(([one]) => parseDiskFile(nameOf(one))?.diskId === disk).map(([, part]) => part),
      );
      files.set(path, disk === undefined ? content : mergeDisks(parts));
    }
    return this.keep({ vmId: image.vmId, jobId: image.jobId, replaces, files });
  }

  #url({ jobId, chain }: Point, path: AbsolutePath): string {
    const { datastoreId } = this.context;
    return formatBackupUrl({ scheme: 'memory', format: 'raw', datastoreId, jobId, chain, path });
  }
}

function nameOf(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}
