import { holdLock } from '../../command/lock';
import * as zfs from '../../command/zfs';
import type { Properties } from '../../command/zfs-list';
import { asDriverError, DriverError } from '../../errors';
import type { Host } from '../../host/host';
import { startKeeper } from '../../host/keeper';
import { type AbsolutePath, joinPath } from '../../opennebula/ids';
import { formatManifest, MANIFEST_FILE, type ManifestFile } from '../../opennebula/manifest';
import type { BackupSource, EngineContext, StoredBackup } from '../engine';
import { type Filling, fillFolder, newSource } from '../filling';
import { manifestFile, manifestOf, sizeMbOf } from '../manifests';
import { needOnServer } from '../server-tools';
import { examineStaging } from '../staging';
import { transfer } from '../transfer';
import { type Application, apply } from './apply';
import type { ZfsConfig } from './config';
import { ensureClone, ensureDatastore } from './create';
import { formatDisks } from './disks';
import { giveBack } from './give-back';
import { forget, note } from './notes';
import { type Backup, mounted, parentOf, plannedParent, type State, type VmDataset } from './vm-dataset';

/** In the datastore's dataset: what is on its way, a folder for each VM. */
export const INCOMING = '.incoming';
/** How long another action of the same VM is waited for, in seconds. */
const LOCK_WAIT_SECONDS = 600;
/** Cancel has 10 s in all, in milliseconds. */
const CLEAN_UP_LIMIT_MS = 4_000;

/** In hexadecimal digits, which need no quotes anywhere, twice as many. */
const NAME_LIMIT_BYTES = 256;

/** What backing up needs beside the source. */
export interface BackupMeans {
  /** The host that holds the staging folder. */
  readonly host: Host;
  readonly dataset: VmDataset;
  readonly config: ZfsConfig;
  readonly context: EngineContext;
  readonly driver: string;
}

/** A backup that is being made. */
interface Making {
  /** Its source. */
  readonly name: string;
  /** Where the datastore's dataset is mounted. */
  readonly datastore: AbsolutePath;
}

/**
 * Stores a staging folder: its files are sent to a folder beside the VM's dataset and applied to it; a snapshot of that is
 * the backup. Returns what is stored. Throws `notFound`, before anything is changed, when the parent is gone.
 */
export async function backUp(source: BackupSource, means: BackupMeans): Promise<StoredBackup> {
  const { host, dataset, config, context } = means;
  const { server } = dataset;
  // All of this only looks: it goes on at once, and what failed is told in this order.
  const staging = examineStaging(host, source);
  const programs = needOnServer(server, ['rsync', 'qemu-img', 'zfs']);
  const seen = dataset.see(plannedParent(source.vm, dataset));
  await Promise.allSettled([staging, programs, seen]);
  const staged = await staging;
  if (staged.format === 'rbd') {
    throw new DriverError(
      'unsupported',
      `VM ${source.vm.id} is backed up as exports of rbd, which the ZFS driver cannot hold`,
      {
        host: host.name,
        hint: 'Use the restic or the rsync driver for it',
      },
    );
  }
  await programs;
  const before = await seen;
  await parentOf(source, before?.backups ?? [], server);
  const parent = { server, config, datastoreId: context.datastore.id };
  const datastore = await ensureDatastore(parent);
  const place = joinPath(datastore, INCOMING, source.vm.id);
  if (before === undefined) await ensureClone(parent, dataset.name, [zfs.STRONG_CHECKSUM]);
  else await mounted(before.own, server, config); // after the datastore's, which would hide it
  const name = newSource();
  const fill = async (filling: Filling): Promise<void> => {
    if (filling.resumes) context.log(`going on with what an earlier backup of VM ${source.vm.id} had sent`);
    const transport = { host, folder: source.folder, staged, filling, server };
    const files = await transfer(transport, { ...config, args: transferArgs(config) }, context);
    const lock = joinPath(place, '.lock');
    await locked(server, lock, async () =>
      store(source, { name, datastore }, { lock, folder: filling.path, files }, means),
    );
  };
  const resumable = staged.files.filter(({ diskId }) => diskId !== undefined);
  await fillFolder({ server, path: place }, name, { by: 'transfer', files: resumable }, 'remove', fill, context);
  return { source: name, sizeMb: sizeMbOf(staged.files), format: 'raw' };
}

/** Lets one action at a time change the dataset of a VM. */
async function locked(server: Host, lock: AbsolutePath, act: () => Promise<void>): Promise<void> {
  const keeper = await startKeeper(server, holdLock(lock, LOCK_WAIT_SECONDS));
  try {
    await act();
  } finally {
    await keeper.end().catch(() => {}); // what ended it early has ended the rest, too
  }
}

async function store(
  source: BackupSource,
  { name, datastore }: Making,
  application: Omit<Application, 'parent'>,
  means: BackupMeans,
): Promise<void> {
  const { dataset, config, context, driver } = means;
  const { server, access } = dataset;
  const { files } = application;
  const look = (): Promise<State | undefined> => dataset.look(plannedParent(source.vm, dataset));
  let state = await look();
  if (state === undefined && source.vm.parentId === undefined) {
    // Removing the last backup took it along meanwhile.
    await ensureClone({ server, config, datastoreId: context.datastore.id }, dataset.name, [zfs.STRONG_CHECKSUM]);
    state = await look();
  }
  if (state === undefined)
    throw new DriverError('failed', `the dataset ${dataset.name} was destroyed meanwhile`, { host: server.name });
  const parent = await parentOf(source, state.backups, server);
  try {
    await apply(dataset, state, { ...application, parent });
    const dryRun = files.map((file) => ({ ...file, type: 'file' as const, modifiedAt: 0 }));
    const held = (await server.files.list(state.mountpoint, dryRun))
      .filter(({ type }) => type === 'file')
      .map(manifestFile);
    const origin = { driver, datastoreId: context.datastore.id, source: name };
    const manifest = formatManifest(manifestOf(source, held, origin));
    await server.files.write(joinPath(state.mountpoint, MANIFEST_FILE), manifest);
    await server.run(zfs.snapshot(access, dataset.name, name, propertiesOf(source, name, parent, files, held)));
    if (config.hold) await server.run(zfs.hold(access, dataset.name, [name]));
    await note(dataset, datastore, name, manifest);
  } catch (error) {
    await takeBack({ name, datastore }, dataset, state, context);
    throw error;
  }
}

/** Destroys the snapshot, if it came to that, and brings the dataset back, a new one to nothing; what is not done, the next backup does. */
async function takeBack(
  { name, datastore }: Making,
  dataset: VmDataset,
  state: State,
  { log }: EngineContext,
): Promise<void> {
  const { server, access } = dataset;
  const run = { evenAbortedMs: CLEAN_UP_LIMIT_MS };
  try {
    await forget(dataset, datastore, [name], run).catch(() => {}); // nothing may keep the snapshot from being destroyed
    // Most often it is not there; else it may be held, or about to be.
    await server.run(zfs.release(access, dataset.name, [name]), run).catch(() => {});
    await server.run(zfs.destroySnapshots(access, dataset.name, [name]), run).catch(() => {});
    await giveBack(dataset, state, run);
  } catch (error) {
    log(`the dataset is brought back by the next backup: ${asDriverError(error).message}`);
  }
}

function propertiesOf(
  { vm, jobId }: BackupSource,
  name: string,
  parent: Backup | undefined,
  files: readonly ManifestFile[],
  held: readonly ManifestFile[],
): Properties {
  const chain = parent === undefined ? (vm.isStandalone ? undefined : name) : parent.properties.chain;
  return {
    vm: String(vm.id),
    increment: String(vm.incrementId),
    disks: formatDisks(held, vm.diskSizesMb),
    bytes: String(files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)),
    ...(parent === undefined ? {} : { parent: parent.source }),
    ...(chain === undefined ? {} : { chain }),
    ...(vm.chainImageId === undefined ? {} : { image: String(vm.chainImageId) }),
    ...(jobId === undefined ? {} : { job: String(jobId) }),
    ...(vm.name === '' ? {} : { name: Buffer.from(vm.name).subarray(0, NAME_LIMIT_BYTES).toString('hex') }),
  };
}

function transferArgs({ bandwidthLimitKib }: ZfsConfig): string[] {
  return ['-aS', ...(bandwidthLimitKib === undefined ? [] : [`--bwlimit=${bandwidthLimitKib}`])];
}
