import type { Writable } from 'node:stream';
import { concatenate } from '../../command/archive';
import { readHeaders } from '../../command/qcow2-header';
import * as zfs from '../../command/zfs';
import type { Dataset } from '../../command/zfs-list';
import type { FileEntry, Host, RunOptions, Space } from '../../host/host';
import type { BackupUrl } from '../../opennebula/backup-url';
import { type AbsolutePath, type JobId, joinPath, parseAbsolutePath, parseVmId, type VmId } from '../../opennebula/ids';
import type { BackupImage } from '../../opennebula/image';
import { type Chain, lastOf } from '../../opennebula/increment';
import { DRIVER_VERSION } from '../../version';
import { nameOf } from '../chain-files';
import type {
  BackupSource,
  DiskInPlace,
  Engine,
  EngineContext,
  FlattenedChain,
  Point,
  PointFiles,
  StoredBackup,
} from '../engine';
import type { Examination } from '../examination';
import type { Inventory } from '../inventory';
import { holds, missingDisk, pointFiles } from '../point-files';
import { backUp } from './backup';
import { parseZfsConfig, type ZfsConfig } from './config';
import { ensureDatastore } from './create';
import { storedMbOf } from './disks';
import { zfsExamination } from './examination';
import { ZfsInventory } from './inventory';
import { destroyBackups, shrink } from './remove';
import { formatZfsUrl, zfsPath } from './url';
import { ifMissing, VmDataset } from './vm-dataset';

const DRIVER = `zfs ${DRIVER_VERSION}`;
/** How long taking back a backup that nobody was told of may take once the action was aborted, in milliseconds. */
const DISCARD_LIMIT_MS = 6_000;
/** For programs that look into a disk. */
const TEMPORARY = parseAbsolutePath('/var/tmp', 'the folder for temporary files');

/** Backups as snapshots of one dataset for each VM: every one is a full one, at the price of its changes. */
export class ZfsEngine implements Engine {
  readonly #context: EngineContext;
  readonly #config: ZfsConfig;

  constructor(context: EngineContext) {
    this.#context = context;
    this.#config = parseZfsConfig(context.datastore);
  }

  /** Of the datastore's dataset, and with it its quota; before the first backup what is available to it. */
  async space(): Promise<Space> {
    const server = await this.#server();
    const ask = (name: string): Promise<Dataset[] | undefined> =>
      server.run(zfs.list(name, 'filesystem')).catch(ifMissing);
    const { dataset, quotaBytes } = this.#config;
    const [own] = (await ask(this.#name())) ?? [];
    if (own?.availableBytes !== undefined)
      return { totalBytes: own.usedBytes + own.availableBytes, freeBytes: own.availableBytes };
    const [parent] = await server.run(zfs.list(dataset, 'filesystem'));
    const available = parent?.availableBytes ?? 0;
    const free = Math.min(available, quotaBytes || available);
    return { totalBytes: free, freeBytes: free };
  }

  async backup(source: BackupSource): Promise<StoredBackup> {
    const host = await this.#context.hosts.at(source.host);
    const dataset = await this.#dataset(source.vm.id);
    return backUp(source, { host, dataset, config: this.#config, context: this.#context, driver: DRIVER });
  }

  async discard(vmId: VmId, _jobId: JobId | undefined, source: string): Promise<void> {
    await this.#destroy(await this.#dataset(vmId), [source], { evenAbortedMs: DISCARD_LIMIT_MS });
  }

  async files(point: Point): Promise<PointFiles> {
    const dataset = await this.#dataset(point.vmId);
    const { id, source } = lastOf(point.chain);
    const folder = await dataset.open(await dataset.find(source, `increment ${id}`));
    const dryRun = ['vm.xml', 'disk.0'].map((name) => ({ name, type: 'file' as const, sizeBytes: 0, modifiedAt: 0 }));
    const held = (await dataset.server.files.list(folder, dryRun)).filter(({ type }) => type === 'file');
    const { user, server } = this.#config;
    return pointFiles(
      point,
      held.map(({ name }) => joinPath(folder, name)),
      (path) => formatZfsUrl(user, server, path),
    );
  }

  /** Only the name counts of the path: the folder is that of the point, so that nobody reads any other file. */
  async read(point: Point, path: AbsolutePath): Promise<Buffer> {
    const dataset = await this.#dataset(point.vmId);
    const { id, source } = lastOf(point.chain);
    const folder = await dataset.open(await dataset.find(source, `increment ${id}`));
    return dataset.server.files.read(joinPath(folder, nameOf(path)), '');
  }

  async remove({ vmId, chain }: BackupImage): Promise<void> {
    const sources = chain.map(({ source }) => source);
    await this.#destroy(await this.#dataset(vmId), sources);
  }

  /** Every backup stands alone: the older ones are destroyed, and the first that stays is a full one already. */
  async flatten(image: BackupImage, keepLast: number): Promise<FlattenedChain | undefined> {
    const { chain, vmId } = image;
    if (chain.length <= keepLast) return undefined;
    const dataset = await this.#dataset(vmId);
    const kept = chain.slice(chain.length - keepLast) as unknown as Chain;
    const all = chain.map(({ source }) => source);
    const found = await dataset.find(kept[0].source, `increment ${kept[0].id}`, all);
    const sizeMb = await storedMbOf(found, dataset);
    await destroyBackups(dataset, all.slice(0, -keepLast), this.#context.signal, found.state);
    return { sizeMb, chain: kept };
  }

  pointOf({ path, jobId, chain }: BackupUrl): Point {
    return { vmId: parseVmId(zfsPath(path).vmId, 'the VM of the backup URL'), jobId, chain };
  }

  async download(url: BackupUrl, output: Writable): Promise<void> {
    const { dataset, folder, file } = await this.#fileOf(url);
    let sent = 0;
    const onData = (bytes: number): void => {
      sent += bytes;
      this.#context.progress(sent, file.sizeBytes);
    };
    await dataset.server.run(concatenate(joinPath(folder, file.name)), { output, onData });
  }

  async inPlace(url: BackupUrl): Promise<DiskInPlace> {
    const { dataset, folder, file } = await this.#fileOf(url);
    const [disk] = await dataset.server.run(readHeaders([joinPath(folder, file.name)]));
    if (disk === undefined) throw missingDisk(url);
    return { host: dataset.server, chain: [disk], temporary: TEMPORARY };
  }

  async endDownload(): Promise<void> {}

  /** Makes the datastore's dataset. */
  async prepare(): Promise<string> {
    const parent = { server: await this.#server(), config: this.#config, datastoreId: this.#context.datastore.id };
    await ensureDatastore(parent);
    return `the dataset ${this.#name()} on ${parent.server.name}`;
  }

  inventory(): Inventory {
    return new ZfsInventory({
      server: () => this.#server(),
      config: this.#config,
      context: this.#context,
      destroy: (dataset, sources) => this.#destroy(dataset, sources),
    });
  }

  examination(): Examination {
    return zfsExamination({ config: this.#config, context: this.#context });
  }

  /** Destroys backups, and gives back what only they needed. */
  async #destroy(dataset: VmDataset, sources: readonly string[], options?: RunOptions): Promise<void> {
    const { signal } = this.#context;
    const { isNewestGone, place } = await destroyBackups(dataset, sources, signal, undefined, options);
    if (isNewestGone && place !== undefined) await shrink(dataset, place, this.#context, options);
  }

  /** Finds the file that a URL names. Throws `notFound`. */
  async #fileOf(url: BackupUrl): Promise<{ dataset: VmDataset; folder: AbsolutePath; file: FileEntry }> {
    const { vmId, chain } = this.pointOf(url);
    const dataset = await this.#dataset(vmId);
    const folder = await dataset.open(await dataset.find(lastOf(chain).source, 'the backup'));
    const dryRun = [{ name: nameOf(url.path), type: 'file' as const, sizeBytes: 0, modifiedAt: 0 }];
    const file = (await dataset.server.files.list(folder, dryRun)).find(({ name }) => holds(name, url));
    if (file === undefined) throw missingDisk(url);
    return { dataset, folder, file };
  }

  #name(): string {
    return `${this.#config.dataset}/${this.#context.datastore.id}`;
  }

  async #dataset(vmId: VmId): Promise<VmDataset> {
    return new VmDataset(await this.#server(), this.#config, this.#context.datastore.id, vmId);
  }

  #server(): Promise<Host> {
    return this.#context.hosts.at(this.#config.server, this.#config.user);
  }
}
