import { openSnapshot } from '../../command/open-snapshot';
import * as zfs from '../../command/zfs';
import { type Dataset, type Properties, planned } from '../../command/zfs-list';
import { DriverError } from '../../errors';
import type { Host, RunOptions } from '../../host/host';
import { type AbsolutePath, type DatastoreId, joinPath, parseAbsolutePath, type VmId } from '../../opennebula/ids';
import type { VmToBackUp } from '../../opennebula/vm';
import type { BackupSource } from '../engine';
import { parentIsGone } from '../parent';
import type { ZfsConfig } from './config';
import { formatZfsUrl } from './url';

/** A snapshot of ours. */
export type Backup = Dataset & { readonly source: string };

/** A VM's dataset as it is now, mounted or not. */
interface Seen {
  readonly own: Dataset;
  /** Our snapshots, the oldest first. */
  readonly backups: readonly Backup[];
  /** Whether the newest snapshot of all, whosever they are, is that one. */
  readonly isNewest: (backup: Backup) => boolean;
  /** Neither we nor anybody else has a snapshot of it, nor a dataset below it. */
  readonly isEmpty: boolean;
}

/** The same, mounted. */
export interface State extends Seen {
  readonly mountpoint: AbsolutePath;
}

/** One backup, and the dataset as it was when it was found. */
export interface Found {
  readonly state: State;
  readonly backup: Backup;
}

/** The dataset of one VM on the backup server: its files are the VM's current state, its snapshots are the backups. */
export class VmDataset {
  readonly server: Host;
  readonly access: ZfsConfig;
  readonly name: string;
  /** The datastore's dataset. */
  readonly parent: string;
  readonly vmId: VmId;

  constructor(server: Host, config: ZfsConfig, datastoreId: DatastoreId, vmId: VmId) {
    this.server = server;
    this.access = config;
    this.parent = `${config.dataset}/${datastoreId}`;
    this.name = `${this.parent}/${vmId}`;
    this.vmId = vmId;
  }

  /** Looks at it, and mounts it where it is not; undefined when there is none. A dry run finds these backups. Throws `failed` when it cannot be mounted. */
  async look(dryRun: readonly Dataset[] = [], options?: RunOptions): Promise<State | undefined> {
    const seen = await this.see(dryRun, options);
    return seen && { ...seen, mountpoint: await this.#mounted(seen.own, options) };
  }

  async #mounted(own: Dataset, options?: RunOptions): Promise<AbsolutePath> {
    if (own.isMounted) return mountpointOf(own, this.server);
    // The ones above come first: what is mounted later hides what is below it. The admin's own is not ours to mount.
    const [root] = await this.server.run(zfs.list(this.access.dataset, 'filesystem'), options);
    if (root !== undefined) mountpointOf(root, this.server);
    const [parent] = await this.server.run(zfs.list(this.parent, 'filesystem'), options);
    if (parent !== undefined) await mounted(parent, this.server, this.access);
    return mounted(own, this.server, this.access);
  }

  /** The same, but it need not be mounted. */
  async see(dryRun: readonly Dataset[], options?: RunOptions): Promise<Seen | undefined> {
    const listed = await this.server.run(zfs.list(this.name, 'all', dryRun), options).catch(ifMissing);
    const own = listed?.find(({ snapshot }) => snapshot === undefined);
    if (listed === undefined || own === undefined) return undefined;
    const snapshots = listed
      .filter(({ name, snapshot }) => name === this.name && snapshot !== undefined)
      .sort((a, b) => a.createdInTransaction - b.createdInTransaction);
    return {
      own,
      backups: snapshots.filter((one): one is Backup => one.source !== undefined),
      isNewest: ({ source }) => snapshots.at(-1)?.source === source,
      isEmpty: snapshots.length === 0 && !listed.some(({ name }) => name !== this.name),
    };
  }

  /** As look for these backups, but the admin's dataset must be there: its pool may not be imported. Throws `notFound`. */
  async lookInPool(sources: readonly string[], options?: RunOptions): Promise<State | undefined> {
    const state = await this.look(
      sources.map((source) => planned(this.name, source)),
      options,
    );
    if (state === undefined) await this.server.run(zfs.list(this.access.dataset, 'filesystem'), options);
    return state;
  }

  /** Finds one backup; a dry run finds `planned`. Throws `notFound`. */
  async find(source: string, what: string, planned: readonly string[] = [source]): Promise<Found> {
    const state = await this.lookInPool(planned);
    const backup = state?.backups.find((one) => one.source === source);
    if (state !== undefined && backup !== undefined) return { state, backup };
    throw new DriverError('notFound', `${what} of VM ${this.vmId} is gone: ${this.name} has no snapshot of ${source}`, {
      host: this.server.name,
      hint: 'Every other backup can be restored without it',
    });
  }

  /** Where the files of a backup are; from now on they can be read. Throws `failed`. */
  async open({ state, backup }: Found): Promise<AbsolutePath> {
    const folder = joinPath(state.mountpoint, ...zfs.snapshotFolder(backup.source));
    await this.server.run(openSnapshot(state.mountpoint, folder));
    return folder;
  }
}

/** What a dry run finds of it. */
export function plannedParent({ parentId }: VmToBackUp, { name }: VmDataset): Dataset[] {
  return parentId === undefined ? [] : [planned(name, 'PARENT', { increment: String(parentId), chain: 'PARENT' })];
}

/**
 * Finds the backup that an increment builds on: the one that oned names, else the newest of that number in the chain.
 * Throws `notFound`.
 */
export async function parentOf(
  { vm, parentSource }: Pick<BackupSource, 'vm' | 'parentSource'>,
  backups: readonly Backup[],
  server: Host,
): Promise<Backup | undefined> {
  if (vm.parentId === undefined) return undefined;
  const named = await parentSource();
  const found =
    named === undefined
      ? backups.findLast((backup) => canBeParent(backup, vm, backups))
      : backups.find(({ source }) => source === named);
  if (found !== undefined) return found;
  throw parentIsGone(vm, server.name);
}

/** By its number, unless it belongs to the chain of another image, as what it carries itself or its increments carry says. */
function canBeParent({ properties, source }: Backup, vm: VmToBackUp, backups: readonly Backup[]): boolean {
  if (properties.increment !== String(vm.parentId) || properties.chain === undefined) return false;
  const image = vm.chainImageId === undefined ? undefined : String(vm.chainImageId);
  const isOther = (one: Properties): boolean => one.image !== undefined && image !== undefined && one.image !== image;
  return !isOther(properties) && !backups.some((one) => one.properties.parent === source && isOther(one.properties));
}

/** The mountpoint of a filesystem. Throws `failed` unless it is mounted: what is written there else lies in another one. */
export function mountpointOf({ name, mountpoint, isMounted }: Dataset, server: Host): AbsolutePath {
  if (mountpoint === undefined || !mountpoint.startsWith('/')) {
    throw new DriverError('failed', `the dataset ${name} has no mountpoint`, {
      host: server.name,
      hint: `Give it one there: zfs set mountpoint=/backups ${name}`,
    });
  }
  if (!isMounted) {
    throw new DriverError('failed', `the dataset ${name} is not mounted`, {
      host: server.name,
      hint: `Mount it there: zfs mount ${name}; an encrypted one with -l`,
    });
  }
  return parseAbsolutePath(mountpoint, `the mountpoint of ${name}`, 'failed');
}

/** The mountpoint of a filesystem, which is mounted where it is not: an action that died had made it a moment before. Throws `failed` or `config`. */
export async function mounted(dataset: Dataset, server: Host, config: ZfsConfig): Promise<AbsolutePath> {
  const { name, isMounted, mountpoint } = dataset;
  checkReadable(dataset, config);
  if (isMounted || !mountpoint?.startsWith('/')) return mountpointOf(dataset, server);
  // Linux lets only root mount, whatever "zfs allow" says (zfs-allow(8)).
  await server.run(zfs.mount({ ...config, sudo: true }, name)).catch(async (error: unknown) => {
    const [now] = await server.run(zfs.list(name, 'filesystem'));
    if (now?.isMounted !== true) throw error; // another action may have mounted it at the same moment
  });
  return mountpointOf({ ...dataset, isMounted: true }, server);
}

/** Checks that a restore would find what is stored there. Throws `config` or `failed`. */
export function checkReadable({ name, mountpoint, hidesSnapshots }: Dataset, { user, server }: ZfsConfig): void {
  if (mountpoint?.startsWith('/'))
    formatZfsUrl(user, server, parseAbsolutePath(mountpoint, 'the mountpoint', 'failed'));
  if (!hidesSnapshots) return;
  throw new DriverError('failed', `no snapshot of ${name} can be read: it has snapdir=disabled`, {
    host: server,
    hint: `Run there as root: zfs set snapdir=hidden ${name}`,
  });
}

/** For an error that says that a dataset or a file is not there. */
export function ifMissing(error: unknown): undefined {
  if (!(error instanceof DriverError) || error.kind !== 'notFound') throw error;
  return undefined;
}
