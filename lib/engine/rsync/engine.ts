import type { Writable } from 'node:stream';
import { removeBackups } from '../../command/receiving';
import type { Host, Space } from '../../host/host';
import { type BackupUrl, formatBackupUrl, parseDiskFile } from '../../opennebula/backup-url';
import { type AbsolutePath, type DiskId, type JobId, parseVmId, type VmId } from '../../opennebula/ids';
import type { BackupImage } from '../../opennebula/image';
import { DRIVER_VERSION } from '../../version';
import { chainOf, newestOf, relatedTo } from '../chain';
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
import { pointFiles } from '../point-files';
import { needOnServer } from '../server-tools';
import { backUp } from './backup';
import { parseRsyncConfig, type RsyncConfig } from './config';
import { type DownloadMeans, download, inPlace, shelfOf } from './download';
import { rsyncExamination } from './examination';
import { flatten } from './flatten';
import { RsyncInventory } from './inventory';
import { VmFolder, vmIdIn } from './vm-folder';

/** The scheme of the URLs. */
export const RSYNC_SCHEME = 'rsync';
const DRIVER = `rsync ${DRIVER_VERSION}`;
/** How long taking back a backup that nobody was told of may take once the action was aborted, in milliseconds. */
const DISCARD_LIMIT_MS = 4_000;

/** Backups as folders of plain files, one for each, on a server that gives a shell with rsync and qemu-img. */
export class RsyncEngine implements Engine {
  readonly #context: EngineContext;
  readonly #config: RsyncConfig;

  constructor(context: EngineContext) {
    this.#context = context;
    this.#config = parseRsyncConfig(context.datastore);
  }

  async space(): Promise<Space> {
    return (await this.#server()).files.space(this.#context.datastore.basePath);
  }

  async prepare(): Promise<string> {
    const [server, { basePath }] = [await this.#server(), this.#context.datastore];
    await server.files.makeFolder(basePath);
    return `the folder ${basePath} on ${server.name}`;
  }

  async backup(source: BackupSource): Promise<StoredBackup> {
    const host = await this.#context.hosts.at(source.host);
    const folder = await this.#folder(source.vm.id);
    await needOnServer(folder.server, ['rsync']);
    return backUp(source, { host, folder, config: this.#config, context: this.#context, driver: DRIVER });
  }

  async discard(vmId: VmId, _jobId: JobId | undefined, source: string): Promise<void> {
    const { server, path } = await this.#folder(vmId);
    await server.run(removeBackups(path, [source]), { evenAbortedMs: DISCARD_LIMIT_MS });
  }

  async files(point: Point, only: readonly DiskId[] = []): Promise<PointFiles> {
    const folder = await this.#folder(point.vmId);
    const links = await folder.resolve(point.chain);
    const isAsked = (name: string): boolean => {
      const disk = parseDiskFile(name);
      return disk !== undefined && (only.length === 0 || only.includes(disk.diskId));
    };
    const paths = (await folder.chainFiles([newestOf(links)], isAsked)).map(({ path }) => path);
    const stored = { ...point, chain: chainOf(links) };
    const origin = { scheme: RSYNC_SCHEME, datastoreId: this.#context.datastore.id };
    return pointFiles(stored, paths, (path, format) => formatBackupUrl({ ...origin, ...stored, path, format }));
  }

  /** Only the name counts of the path: the folder is that of the point, so that nobody reads any other file. */
  async read(point: Point, path: AbsolutePath): Promise<Buffer> {
    const folder = await this.#folder(point.vmId);
    const { stored } = newestOf(await folder.resolve(point.chain));
    return folder.server.files.read(folder.at(stored.source, nameOf(path)), '');
  }

  async remove({ vmId, chain }: BackupImage): Promise<void> {
    const folder = await this.#folder(vmId);
    await needOnServer(folder.server, []);
    const mine = relatedTo(await folder.stored(chain, 'even damaged'), chain).map(({ source }) => source);
    await folder.server.run(removeBackups(folder.path, mine));
  }

  async flatten(image: BackupImage, keepLast: number): Promise<FlattenedChain | undefined> {
    if (image.chain.length <= keepLast) return undefined;
    const folder = await this.#folder(image.vmId);
    await needOnServer(folder.server, ['qemu-img']);
    return flatten(image, keepLast, { folder, config: this.#config, context: this.#context, driver: DRIVER });
  }

  pointOf({ path, jobId, chain }: BackupUrl): Point {
    const vmId = vmIdIn(path, this.#context.datastore.id);
    return { vmId: parseVmId(vmId, 'the VM of the backup URL'), jobId, chain };
  }

  async download(url: BackupUrl, output: Writable): Promise<void> {
    await download(url, output, await this.#downloadMeans(url));
  }

  async endDownload(url: BackupUrl): Promise<void> {
    if (url.chain.length > 1) await shelfOf(url, await this.#downloadMeans(url)).clear();
  }

  async inPlace(url: BackupUrl): Promise<DiskInPlace> {
    return inPlace(url, await this.#downloadMeans(url));
  }

  inventory(): Inventory {
    return new RsyncInventory({ server: () => this.#server(), config: this.#config, context: this.#context });
  }

  examination(): Examination {
    return rsyncExamination(this.#config, this.#context);
  }

  async #downloadMeans(url: BackupUrl): Promise<DownloadMeans> {
    const folder = await this.#folder(this.pointOf(url).vmId);
    return { folder, config: this.#config, context: this.#context };
  }

  async #folder(vmId: VmId): Promise<VmFolder> {
    return new VmFolder(await this.#server(), this.#context.datastore.basePath, vmId);
  }

  #server(): Promise<Host> {
    return this.#context.hosts.at(this.#config.server, this.#config.user);
  }
}
