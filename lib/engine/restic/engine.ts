import type { Writable } from 'node:stream';
import * as restic from '../../command/restic';
import type { Snapshot } from '../../command/restic-output';
import { DriverError } from '../../errors';
import type { Space } from '../../host/host';
import { type BackupUrl, formatBackupUrl } from '../../opennebula/backup-url';
import { type AbsolutePath, type JobId, parseVmId, type VmId } from '../../opennebula/ids';
import type { BackupImage } from '../../opennebula/image';
import { lastOf } from '../../opennebula/increment';
import { DRIVER_VERSION } from '../../version';
import { chainOf, findStored, newestOf, relatedTo, resolveChain } from '../chain';
import { nameOf } from '../chain-files';
import type { BackupSource, Engine, EngineContext, FlattenedChain, Point, PointFiles, StoredBackup } from '../engine';
import type { Examination } from '../examination';
import type { Inventory } from '../inventory';
import { pointFiles } from '../point-files';
import { backUp } from './backup';
import { snapshotsOf, vmTag } from './chain';
import { parseResticConfig, type ResticConfig } from './config';
import { refuseHeadless, sweepStaging } from './create';
import { download, shelfOf } from './download';
import { resticExamination } from './examination';
import { flatten } from './flatten';
import { ResticInventory } from './inventory';
import { Repositories } from './repositories';
import type { Repository } from './repository';
import { readSnapshotFile } from './snapshot-file';
import { sweepUploads } from './sweep';

/** The scheme of the URLs. */
export const RESTIC_SCHEME = 'restic';
const DRIVER = `restic ${DRIVER_VERSION}`;

/** Backups as snapshots of restic repositories: one for each VM, or for each backup job, on a server reached by SFTP. */
export class ResticEngine implements Engine {
  readonly #context: EngineContext;
  readonly #config: ResticConfig;
  readonly #repositories: Repositories;

  constructor(context: EngineContext) {
    this.#context = context;
    this.#config = parseResticConfig(context.datastore);
    this.#repositories = new Repositories(context, this.#config);
  }

  async space(): Promise<Space> {
    return (await this.#repositories.server()).files.space(this.#context.datastore.basePath);
  }

  async prepare(): Promise<string> {
    const [server, { basePath }] = [await this.#repositories.server(), this.#context.datastore];
    await server.files.makeFolder(basePath);
    return `the folder ${basePath} on ${server.name}`;
  }

  async backup(source: BackupSource): Promise<StoredBackup> {
    const host = await this.#context.hosts.at(source.host);
    const repository = this.#repositories.on(host, source);
    return backUp(source, {
      repository,
      server: await this.#repositories.server(),
      context: this.#context,
      driver: DRIVER,
    });
  }

  async discard(vmId: VmId, jobId: JobId | undefined, source: string): Promise<void> {
    await this.#repositories.local(vmId, jobId).takeBack(await this.#repositories.server(), source);
  }

  async files(point: Point): Promise<PointFiles> {
    const repository = this.#repositories.local(point.vmId, point.jobId);
    const asked = await repository.snapshots(
      point.chain.map(({ source }) => source),
      point.vmId,
      dryRunSnapshots(point),
    );
    const found = snapshotsOf(asked, point.vmId);
    const complete = point.chain.every(({ source }) => findStored(found, source) !== undefined);
    const all = complete ? found : snapshotsOf(await repository.snapshots([], point.vmId, []), point.vmId);
    const links = resolveChain(all, point.chain, point.vmId);
    const paths = await repository.filesOf(newestOf(links).stored);
    const stored = { ...point, chain: chainOf(links) };
    const origin = { scheme: RESTIC_SCHEME, datastoreId: this.#context.datastore.id };
    return pointFiles(stored, paths, (path, format) => formatBackupUrl({ ...origin, ...stored, path, format }));
  }

  async read(point: Point, path: AbsolutePath): Promise<Buffer> {
    const repository = this.#repositories.local(point.vmId, point.jobId);
    try {
      return await readSnapshotFile(repository, lastOf(point.chain).source, path);
    } catch (error) {
      if (!(error instanceof DriverError) || error.kind !== 'notFound') throw error;
    }
    // A URL from before a flatten: what was merged has another snapshot and another folder, but the same names.
    const all = await repository.snapshots([], point.vmId, dryRunSnapshots(point));
    const { stored } = newestOf(resolveChain(snapshotsOf(all, point.vmId), point.chain, point.vmId));
    const moved = (await repository.filesOf(stored)).find((one) => nameOf(one) === nameOf(path));
    return readSnapshotFile(repository, stored.id, moved ?? path);
  }

  /**
   * Forgets the image's snapshots, those that a flatten left behind among them, and prunes. What was forgotten before,
   * by a try that was killed, still needs the prune; so it runs in any case.
   */
  async remove(image: BackupImage): Promise<void> {
    let repository = await this.#repositories.beside(image, ['restic']);
    const list = (): Promise<Snapshot[]> => repository.snapshots([], image.vmId, dryRunSnapshots(image));
    const all = await list().catch(async (error: unknown) => {
      if (!(error instanceof DriverError) || error.kind !== 'notFound') throw error;
      const server = await this.#repositories.server();
      if (!(await repository.exists(server))) {
        await refuseHeadless(repository, server); // what oned forgets now would stay there for ever
        return undefined;
      }
      repository = this.#repositories.local(image.vmId, image.jobId); // the server's shell sees other folders than its SFTP
      return list();
    });
    if (all === undefined) return;
    const mine = relatedTo(snapshotsOf(all, image.vmId), image.chain).map(({ id }) => id);
    await this.#forget(repository, mine);
  }

  async flatten(image: BackupImage, keepLast: number): Promise<FlattenedChain | undefined> {
    if (image.chain.length <= keepLast) return undefined;
    const repository = await this.#repositories.near(image, ['restic', 'qemu-img']);
    const forget = (ids: readonly string[]): Promise<void> => this.#forget(repository, ids);
    return flatten(image, keepLast, {
      repository,
      server: await this.#repositories.server(),
      config: this.#config,
      context: this.#context,
      driver: DRIVER,
      forget,
    });
  }

  pointOf({ path, jobId, chain }: BackupUrl): Point {
    const vmId = /\/([0-9]+)\/backup\/[^/]+$/.exec(path)?.[1];
    if (vmId === undefined)
      throw new DriverError('message', `the path of the backup URL has no /<VM ID>/backup/ in it`);
    return { vmId: parseVmId(vmId, 'the VM of the backup URL'), jobId, chain };
  }

  async download(url: BackupUrl, output: Writable): Promise<void> {
    const { vmId, jobId } = this.pointOf(url);
    const repository = this.#repositories.local(vmId, jobId);
    await download(url, output, { repository, config: this.#config, context: this.#context, vmId });
  }

  async endDownload(url: BackupUrl): Promise<void> {
    await shelfOf(url, this.#config, this.#context).clear();
  }

  inventory(): Inventory {
    return new ResticInventory({ repositories: this.#repositories, config: this.#config, context: this.#context });
  }

  examination(): Examination {
    return resticExamination({ repositories: this.#repositories, config: this.#config, context: this.#context });
  }

  /** Forgets and prunes; prunes even if there is nothing to forget: an earlier try may have been killed between the two. */
  async #forget(repository: Repository, ids: readonly string[]): Promise<void> {
    const limits = { maxUnused: this.#config.pruneMaxUnused, maxRepack: this.#config.pruneMaxRepack };
    const { access } = repository;
    await repository.runPatiently(ids.length > 0 ? restic.forget(access, ids, limits) : restic.prune(access, limits));
    const server = await this.#repositories.server();
    await sweepUploads(repository, server);
    await sweepStaging(repository, server);
  }
}

function dryRunSnapshots({ chain, vmId }: Pick<Point, 'chain' | 'vmId'>): Snapshot[] {
  return chain.map(({ id, source }) => ({
    id: source,
    time: '',
    tags: [vmTag(vmId)],
    paths: [`/DIR/${vmId}/backup/disk.0.${id}`, `/DIR/${vmId}/backup/vm.xml`],
  }));
}
