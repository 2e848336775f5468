import { copyReflinked, hardLink } from '../../command/copy';
import { type DiskHeader, readHeaders } from '../../command/qcow2-header';
import * as qemuImg from '../../command/qemu-img';
import { sparsify } from '../../command/virt-sparsify';
import { asDriverError, DriverError } from '../../errors';
import type { Host } from '../../host/host';
import { parseDiskFile } from '../../opennebula/backup-url';
import { type AbsolutePath, joinPath, parseAbsolutePath } from '../../opennebula/ids';
import { byDisk, type ChainFile, type DiskFiles, isBackupFile } from '../chain-files';
import type { EngineContext } from '../engine';

/** The headers of the files of a disk, in the order of its chain. */
export type DiskChain = readonly [DiskHeader, ...DiskHeader[]];

/** Looks at the files of a disk. Throws `damaged` when an increment is no qcow2. */
export async function openDisk(server: Host, files: DiskFiles): Promise<DiskChain> {
  const chain = (await server.run(readHeaders(files.map(({ path }) => path)))) as unknown as DiskChain;
  const wrong = chain.findIndex(({ format }, index) => index > 0 && format !== 'qcow2');
  if (wrong === -1) return chain;
  throw new DriverError('damaged', `${files[wrong]?.path}, an increment, is not a qcow2`, { host: server.name });
}

/** A disk that was merged, and the chain that it must show the same as. */
export interface MergedDisk {
  readonly copy: qemuImg.ChainDisk;
  readonly chain: DiskChain;
  /** It is the very file of the chain, under another name: what is written to the one is written to the other. */
  readonly isLink: boolean;
}

/**
 * Brings into a folder what the newest backup of a chain holds, each disk merged: `files` are those of all its backups, in
 * order. No file of the chain is opened for writing. Exports of rbd stand side by side: only Ceph could merge them.
 * Returns the disks that are still to be verified.
 */
export async function mergeInto(
  folder: AbsolutePath,
  files: readonly ChainFile[],
  server: Host,
): Promise<MergedDisk[]> {
  const merged: MergedDisk[] = [];
  const last = files.at(-1)?.link ?? 0;
  const groups = byDisk(files, last);
  for (const { name, path } of files.filter((file) => file.link === last && isBackupFile(file.name))) {
    const disk = parseDiskFile(name);
    const group = disk === undefined ? undefined : groups.get(disk.diskId);
    if (disk === undefined || group === undefined) {
      await server.run(hardLink(path, joinPath(folder, name)));
    } else if (disk.format === 'rbd') {
      for (const part of group) await server.run(hardLink(part.path, joinPath(folder, part.name)));
    } else {
      merged.push(await mergeDisk(await openDisk(server, group), joinPath(folder, name), server));
    }
  }
  return merged;
}

/** Where the filesystem has reflinks, only the increments' data is copied, into a copy of the full backup; else all of it. */
async function mergeDisk(chain: DiskChain, target: AbsolutePath, server: Host): Promise<MergedDisk> {
  const [base, ...increments] = chain;
  if (increments.length === 0 && !base.hasBacking) {
    await server.run(hardLink(base.path, target));
    return { copy: { path: target, format: base.format }, chain, isLink: true };
  }
  if (!(await server.run(copyReflinked(base.path, target)))) {
    await server.run(qemuImg.convert(qemuImg.chainOf(chain), target));
    return { copy: { path: target, format: 'qcow2' }, chain, isLink: false };
  }
  const copy = { path: target, format: base.format };
  if (base.hasBacking) await server.run(qemuImg.setBacking(target, undefined, ''));
  const overlay = parseAbsolutePath(`${target}.top`, 'the overlay');
  await server.run(qemuImg.create(overlay, (chain[chain.length - 1] as DiskHeader).virtualSizeBytes));
  const above = [...increments, { path: overlay, format: 'qcow2' as const }];
  await server.run(qemuImg.commitChain(qemuImg.chainOf([copy, ...above]), target));
  await server.files.remove(overlay);
  return { copy, chain, isLink: false };
}

/** Checks that a merged disk is sound, and shows what its chain shows. Throws `damaged`. */
export async function verifyDisk({ copy, chain }: MergedDisk, server: Host): Promise<void> {
  if (copy.format === 'qcow2') await server.run(qemuImg.check(copy.path));
  await server.run(qemuImg.compare(qemuImg.chainOf(chain), copy));
}

/**
 * RSYNC_SPARSIFY, where virt-sparsify is installed, as in the stock driver. A disk that it cannot read stays as it is, and
 * so does one that needed no merging: its file belongs to the chain, which has to stay as it was until all is done.
 */
export async function makeSparse(
  { copy: { path, format }, isLink }: MergedDisk,
  server: Host,
  { log, signal }: Pick<EngineContext, 'log' | 'signal'>,
): Promise<void> {
  if (isLink || !(await server.programs(['virt-sparsify'])).has('virt-sparsify')) return;
  await server.run(sparsify(path)).catch((error) => {
    if (signal.aborted) throw error;
    log(`not made sparse: ${asDriverError(error).message}`);
  });
  if (format === 'qcow2') await server.run(qemuImg.check(path));
}
