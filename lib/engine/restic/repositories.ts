import { hasFile } from '../../command/leftovers';
import type { ResticAccess } from '../../command/restic-access';
import { throttle } from '../../command/throttle';
import type { Host } from '../../host/host';
import { type JobId, joinPath, type VmId } from '../../opennebula/ids';
import type { BackupImage } from '../../opennebula/image';
import type { BackupSource, EngineContext } from '../engine';
import type { ResticConfig } from './config';
import { type Patience, Repository } from './repository';

/** Which repository of a datastore: the VM's, unless there is a job. */
export type RepositoryId = Pick<BackupImage, 'vmId' | 'jobId'>;

/** The repositories of a datastore, one for each VM or backup job, and the hosts that open them. */
export class Repositories {
  readonly #context: EngineContext;
  readonly #config: ResticConfig;

  constructor(context: EngineContext, config: ResticConfig) {
    this.#context = context;
    this.#config = config;
  }

  /** As the host opens it that holds a staging folder, within the limits that the datastore sets for hosts. */
  on(host: Host, { vm, jobId, folder }: BackupSource): Repository {
    const access = { ...this.#access(vm.id, jobId), throttle: throttle(this.#config.throttle, folder) };
    return new Repository(host, access, access, this.#patience());
  }

  /** The backup server, for its files. */
  server(): Promise<Host> {
    return this.#context.hosts.at(this.#config.server, this.#config.user);
  }

  /** Where heavy work is done: beside the data if the backup server gives a shell with these programs, else here. */
  async beside({ vmId, jobId }: RepositoryId, programs: readonly string[]): Promise<Repository> {
    const server = await this.server();
    const found = await server.programs(programs);
    if (!programs.every((program) => found.has(program))) return this.local(vmId, jobId);
    const access = this.#access(vmId, jobId);
    return new Repository(server, { ...access, sftp: undefined }, access, this.#patience());
  }

  /** On the backup server if it has these programs and sees the same folders there as by SFTP, else here. */
  async near(id: RepositoryId, programs: readonly string[] = ['restic']): Promise<Repository> {
    const repository = await this.beside(id, programs);
    if (repository.access.sftp !== undefined) return repository;
    const isThere = await repository.host.run(hasFile(joinPath(repository.path, 'config')));
    return isThere ? repository : this.local(id.vmId, id.jobId);
  }

  /** As the front-end opens it. */
  local(vmId: VmId, jobId: JobId | undefined): Repository {
    const access = this.#access(vmId, jobId);
    return new Repository(this.#context.hosts.local, access, access, this.#patience());
  }

  /** How restic opens the repository from any machine but the backup server. */
  #access(vmId: VmId, jobId: JobId | undefined): ResticAccess {
    const { password, server, user, connections, bandwidthLimitKib, compression, maxThreads } = this.#config;
    const { basePath, correctedBy } = this.#context.datastore;
    const repository = joinPath(basePath, jobId === undefined ? vmId : `job_${jobId}`);
    const limits = { connections, bandwidthLimitKib, compression, maxThreads, throttle: [] };
    return { repository, sftp: { server, user }, password, correctedBy, ...limits };
  }

  #patience(): Patience {
    const { hosts, signal, log } = this.#context;
    return { waitSeconds: this.#config.lockWaitSeconds, signal, log, hosts };
  }
}
