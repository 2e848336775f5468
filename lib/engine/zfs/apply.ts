import { copyInto, removeOthers, restoreFrom } from '../../command/copy';
import { asWriter } from '../../command/lock';
import { type DiskHeader, readHeaders } from '../../command/qcow2-header';
import * as qemuImg from '../../command/qemu-img';
import * as zfs from '../../command/zfs';
import { NEWER_EXIST } from '../../command/zfs-failure';
import { DriverError } from '../../errors';
import type { Host } from '../../host/host';
import { type AbsolutePath, type DiskId, joinPath, parseAbsolutePath } from '../../opennebula/ids';
import { MANIFEST_FILE, type ManifestFile, parseManifest } from '../../opennebula/manifest';
import { parentLacksDisk } from '../parent';
import { type Backup, ifMissing, type State, type VmDataset } from './vm-dataset';

/** How a file of a backup is called in its VM's dataset: there is one of a disk, and so no number of an increment. */
function nameOf({ name, diskId }: ManifestFile): string {
  return diskId === undefined ? name : `disk.${diskId}`;
}

function isOfDisk(file: ManifestFile): file is ManifestFile & { readonly diskId: DiskId } {
  return file.diskId !== undefined;
}

/** What is applied to a VM's dataset. */
export interface Application {
  /** The lock that the action has. */
  readonly lock: AbsolutePath;
  /** Where the transferred files are. */
  readonly folder: AbsolutePath;
  readonly files: readonly ManifestFile[];
  /** The backup that the files build on; undefined for a full backup. */
  readonly parent: Backup | undefined;
}

/**
 * Brings the files of a VM's dataset to what a backup holds: a full disk is written over the one that is there, in place,
 * so that ZFS keeps the blocks that stay the same; an increment is committed into it.
 */
export async function apply(dataset: VmDataset, state: State, application: Application): Promise<void> {
  const { server } = dataset;
  const { mountpoint } = state;
  const { lock, folder, files, parent } = application;
  await bringTo(parent ?? state.backups.at(-1), dataset, state, lock);
  await server.files.remove(joinPath(mountpoint, MANIFEST_FILE)); // from now on it is known to be unfinished
  const disks = files.filter(isOfDisk);
  const inDryRun = { type: 'file' as const, modifiedAt: 0 };
  const dryRun = (parent === undefined ? [] : disks).map((disk) => ({ ...disk, name: nameOf(disk), ...inDryRun }));
  const held = new Set((await server.files.list(mountpoint, dryRun)).map(({ name }) => name));
  for (const disk of disks) {
    const target = nameOf(disk);
    const staged = joinPath(folder, disk.name);
    const paths = held.has(target) ? [staged, joinPath(mountpoint, target)] : [staged];
    const [added, current] = (await server.run(readHeaders(paths))) as [DiskHeader, DiskHeader | undefined];
    if (parent !== undefined && current === undefined && added.hasBacking)
      throw parentLacksDisk(disk.diskId, parent.properties.increment, server.name);
    // A disk that the parent does not have was added to the VM: its first file is all of it.
    if (parent === undefined || current === undefined)
      await writeFull(added, joinPath(mountpoint, target), current, server, lock);
    else await commitIncrement(added, current, server, lock);
  }
  const others = files.filter(({ diskId }) => diskId === undefined).map(({ name }) => name);
  await server.run(
    copyInto(
      mountpoint,
      others.map((name) => joinPath(folder, name)),
    ),
  );
  const kept = files.map(nameOf);
  await server.run(removeOthers(mountpoint, kept));
}

/**
 * Takes back what a dead action, or anybody else, has changed since a backup. Without a backup nothing is kept. The
 * manifest is the first that goes when something is changed, and the last that comes; ZFS keeps that order on disk.
 */
async function bringTo(
  backup: Backup | undefined,
  dataset: VmDataset,
  state: State,
  lock: AbsolutePath,
): Promise<void> {
  const { server, access, name } = dataset;
  if (backup === undefined) return server.run(removeOthers(state.mountpoint, []));
  const isNewest = state.isNewest(backup);
  // What the files of a disk are is not looked at, but ZFS knows how much was written since the newest snapshot (zfsprops(7)).
  const isUntouched = !isNewest || state.own.writtenBytes === 0;
  if (isUntouched && (await sourceOf(state, server)) === backup.source) return;
  if (isNewest) {
    const isRolledBack = await server.run(zfs.rollback(access, name, backup.source)).then(
      () => true,
      (error: unknown) => {
        // By now there may be a newer snapshot; and bookmarks, as zrepl makes them, we do not see.
        if (error instanceof DriverError && error.message.includes(NEWER_EXIST)) return false;
        throw error;
      },
    );
    if (isRolledBack) return;
  }
  // Rolling back over what is newer would destroy it. A pool with block cloning copies no data here.
  const restore = restoreFrom(await dataset.open({ state, backup }), state.mountpoint, MANIFEST_FILE);
  return server.run(asWriter(lock, restore));
}

/** The backup that the files of a dataset are, as its manifest says; undefined when they are none, or nobody can tell. */
async function sourceOf({ mountpoint }: State, server: Host): Promise<string | undefined> {
  const path = joinPath(mountpoint, MANIFEST_FILE);
  const text = (await server.files.read(path, '').catch(ifMissing))?.toString() ?? '';
  try {
    return text === '' ? undefined : parseManifest(text, path).source;
  } catch (error) {
    if (error instanceof DriverError && error.kind === 'damaged') return undefined;
    throw error;
  }
}

async function writeFull(
  staged: DiskHeader,
  target: AbsolutePath,
  current: DiskHeader | undefined,
  server: Host,
  lock: AbsolutePath,
): Promise<void> {
  const source = qemuImg.chainOf([staged]);
  const grows = current !== undefined && current.virtualSizeBytes < staged.virtualSizeBytes;
  const isOver = current?.format === 'qcow2' && (grows || current.virtualSizeBytes === staged.virtualSizeBytes);
  if (isOver) {
    if (grows) await server.run(asWriter(lock, qemuImg.resize(target, staged.virtualSizeBytes, 'larger')));
    await server.run(asWriter(lock, qemuImg.convertOver(source, target)));
  } else {
    await server.files.remove(target);
    const purpose = `write ${target}`; // there is no chain to merge
    await server.run(asWriter(lock, { ...qemuImg.convert(source, target), purpose }));
  }
  await server.run(qemuImg.compare(source, { path: target, format: 'qcow2' }));
}

async function commitIncrement(
  staged: DiskHeader,
  current: DiskHeader,
  server: Host,
  lock: AbsolutePath,
): Promise<void> {
  if (staged.format !== 'qcow2') {
    throw new DriverError('damaged', `${staged.path}, an increment, is not a qcow2`, { host: server.name });
  }
  // A commit makes a disk larger, never smaller.
  if (staged.virtualSizeBytes < current.virtualSizeBytes) {
    const tail = qemuImg.zeroTail(current.path, staged.virtualSizeBytes, current.virtualSizeBytes);
    if (tail !== undefined) await server.run(asWriter(lock, tail));
    await server.run(asWriter(lock, qemuImg.resize(current.path, staged.virtualSizeBytes, 'smaller')));
  }
  const overlay = parseAbsolutePath(`${staged.path}.top`, 'the overlay');
  await server.run(qemuImg.create(overlay, staged.virtualSizeBytes));
  const chain = qemuImg.chainOf([current, staged, { path: overlay, format: 'qcow2' }]);
  await server.run(asWriter(lock, qemuImg.commitChain(chain, current.path)));
  await server.run(qemuImg.check(current.path));
}
