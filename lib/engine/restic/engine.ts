import { Writable } from 'node:stream';
import * as restic from '../../command/restic';
import type { Snapshot } from '../../command/restic-output';
import { throttle } from '../../command/throttle';
import { DriverError } from '../../errors';
import type { Host, Space } from '../../host/host';
import { type BackupUrl, formatBackupUrl, parseDiskFile, TPM_FILE } from '../../opennebula/backup-url';
import { type AbsolutePath, type DiskId, type JobId, joinPath, parseVmId, type VmId } from '../../opennebula/ids';
import type { BackupFormat, BackupImage } from '../../opennebula/image';
import { type Chain, lastOf } from '../../opennebula/increment';
import { DRIVER_VERSION } from '../../version';
import type {
  BackupSource,
  Engine,
  EngineContext,
  FlattenedChain,
  Point,
  PointFiles,
  StoredBackup,
  StoredFile,
} from '../engine';
import { backUp } from './backup';
import { findSnapshot, replacedBy, resolveChain, vmTag } from './chain';
import { parseResticConfig, type ResticConfig } from './config';
import { download, shelfOf } from './download';
import { flatten } from './flatten';
import { nameOf } from './merge';
import { type Patience, Repository } from './repository';
import { sweepUploads } from './sweep';

/** The scheme of the URLs. */
export const RESTIC_SCHEME = 'restic';
const DRIVER = `restic ${DRIVER_VERSION}`;

/** Backups as snapshots of restic repositories: one for each VM, or for each backup job, on a server reached by SFTP. */
export class ResticEngine implements Engine {
  readonly #context: EngineContext;
  readonly #config: ResticConfig;

  constructor(context: EngineContext) {
    this.#context = context;
    this.#config = parseResticConfig(context.datastore);
  }

  async space(): Promise<Space> {
    return (await this.#server()).files.space(this.#context.datastore.basePath);
  }

  async backup(source: BackupSource): Promise<StoredBackup> {
    const host = await this.#context.hosts.at(source.host);
    const access = {
      ...this.#access(source.vm.id, source.jobId),
      throttle: throttle(this.#config.throttle, source.folder),
    };
    const repository = new Repository(host, access, access, this.#patience());
    return backUp(source, { repository, server: await this.#server(), context: this.#context, driver: DRIVER });
  }

  async discard(vmId: VmId, jobId: JobId | undefined, source: string): Promise<void> {
    const repository = this.#local(vmId, jobId);
    await repository.run(restic.forget(repository.access, [source]), { evenAbortedMs: 30_000 });
  }

  async files(point: Point): Promise<PointFiles> {
    const repository = this.#local(point.vmId, point.jobId);
    const asked = await repository.snapshots(
      point.chain.map(({ source }) => source),
      dryRunSnapshots(point),
    );
    const complete = point.chain.every(({ source }) => findSnapshot(asked, source, point.vmId) !== undefined);
    const links = resolveChain(complete ? asked : await repository.snapshots([], []), point.chain, point.vmId);
    const last = links[links.length - 1] as (typeof links)[number];
    const paths = (await repository.filesOf(last.snapshot)).sort((a, b) => a.localeCompare(b, 'en', { numeric: true }));
    const stored = { ...point, chain: links.map(({ increment }) => increment) as unknown as Chain };
    const toFile = (path: AbsolutePath, format: BackupFormat): StoredFile => ({
      path,
      url: this.#url(stored, path, format),
    });
    const disks = new Map<DiskId, StoredFile>();
    for (const path of paths) {
      const disk = parseDiskFile(nameOf(path));
      if (disk !== undefined) disks.set(disk.diskId, toFile(path, disk.format));
    }
    const vmXml = paths.find((path) => nameOf(path) === 'vm.xml');
    if (vmXml === undefined) throw new DriverError('damaged', `snapshot ${last.increment.source} holds no vm.xml`);
    const tpm = paths.find((path) => nameOf(path) === TPM_FILE);
    return { point: stored, disks, tpm: tpm === undefined ? undefined : toFile(tpm, 'raw'), vmXml };
  }

  async read(point: Point, path: AbsolutePath): Promise<Buffer> {
    const repository = this.#local(point.vmId, point.jobId);
    const chunks: Buffer[] = [];
    const output = new Writable({
      write: (chunk: Buffer, _, done) => {
        chunks.push(chunk);
        done();
      },
    });
    await repository.run(restic.dump(repository.access, lastOf(point.chain).source, path, 'no-lock'), { output });
    return Buffer.concat(chunks);
  }

  /**
   * Forgets the image's snapshots, those that a flatten left behind among them, and prunes. What was forgotten before,
   * by a try that was killed, still needs the prune; so it runs in any case.
   */
  async remove(image: BackupImage): Promise<void> {
    const repository = await this.#beside(image, ['restic']);
    const sources = image.chain.map(({ source }) => source);
    const dryRun = sources.map((id) => ({ id, time: '', paths: [], tags: [vmTag(image.vmId)] }));
    const all = await repository.snapshots([], dryRun).catch((error: unknown) => {
      if (error instanceof DriverError && error.kind === 'notFound') return undefined;
      throw error;
    });
    if (all === undefined) return;
    const mine = all
      .filter((one) => one.tags.includes(vmTag(image.vmId)))
      .filter((one) => [...replacedBy(one), one.id].some((id) => sources.some((source) => id.startsWith(source))));
    if (mine.length > 0)
      await repository.runPatiently(
        restic.forget(
          repository.access,
          mine.map(({ id }) => id),
        ),
      );
    await this.#prune(repository);
  }

  async flatten(image: BackupImage, keepLast: number): Promise<FlattenedChain | undefined> {
    if (image.chain.length <= keepLast) return undefined;
    const repository = await this.#beside(image, ['restic', 'qemu-img']);
    const prune = (): Promise<void> => this.#prune(repository);
    return flatten(image, keepLast, {
      repository,
      config: this.#config,
      context: this.#context,
      driver: DRIVER,
      prune,
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
    const repository = this.#local(vmId, jobId);
    await download(url, output, { repository, config: this.#config, context: this.#context, vmId });
  }

  async endDownload(url: BackupUrl): Promise<void> {
    await shelfOf(url, this.#config).clear();
  }

  async #prune(repository: Repository): Promise<void> {
    const { pruneMaxUnused: maxUnused, pruneMaxRepack: maxRepack } = this.#config;
    await repository.runPatiently(restic.prune(repository.access, { maxUnused, maxRepack }));
    await sweepUploads(repository, await this.#server());
  }

  #server(): Promise<Host> {
    return this.#context.hosts.at(this.#config.server, this.#config.user);
  }

  /** Where heavy work is done: beside the data if the backup server gives a shell with these programs, else here. */
  async #beside({ vmId, jobId }: BackupImage, programs: readonly string[]): Promise<Repository> {
    const server = await this.#server();
    const found = await server.programs(programs);
    if (!programs.every((program) => found.has(program))) return this.#local(vmId, jobId);
    const access = this.#access(vmId, jobId);
    return new Repository(server, { ...access, sftp: undefined }, access, this.#patience());
  }

  #local(vmId: VmId, jobId: JobId | undefined): Repository {
    const access = this.#access(vmId, jobId);
    return new Repository(this.#context.hosts.local, access, access, this.#patience());
  }

  /** How restic opens the repository from any machine but the backup server. */
  #access(vmId: VmId, jobId: JobId | undefined): restic.ResticAccess {
    const { password, server, user, connections, bandwidthLimitKib, compression, maxThreads } = this.#config;
    const { id: datastoreId, basePath } = this.#context.datastore;
    const repository = joinPath(basePath, jobId === undefined ? vmId : `job_${jobId}`);
    const limits = { connections, bandwidthLimitKib, compression, maxThreads, throttle: [] };
    return { repository, sftp: { server, user }, password, datastoreId, ...limits };
  }

  #patience(): Patience {
    const { hosts, signal, log } = this.#context;
    return { waitSeconds: this.#config.lockWaitSeconds, signal, log, hosts };
  }

  #url({ jobId, chain }: Point, path: AbsolutePath, format: BackupFormat): string {
    return formatBackupUrl({
      scheme: RESTIC_SCHEME,
      format,
      datastoreId: this.#context.datastore.id,
      jobId,
      chain,
      path,
    });
  }
}

function dryRunSnapshots({ chain, vmId }: Point): Snapshot[] {
  return chain.map(({ id, source }) => ({
    id: source,
    time: '',
    tags: [vmTag(vmId)],
    paths: [`/DIR/${vmId}/backup/disk.0.${id}`, `/DIR/${vmId}/backup/vm.xml`],
  }));
}
