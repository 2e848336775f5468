import { copyReflinked, hardLink } from '../../command/copy';
import { type DiskHeader, readHeaders } from '../../command/qcow2-header';
import * as qemuImg from '../../command/qemu-img';
import { sparsify } from '../../command/virt-sparsify';
import { asDriverError, DriverError } from '../../errors';
import type { Host } from '../../host/host';
import { incrementOfDiskFile, parseDiskFile } from '../../opennebula/backup-url';
import { type AbsolutePath, joinPath } from '../../opennebula/ids';
import { byDisk, type ChainFile, type DiskFiles, isBackupFile } from '../chain-files';

/** The headers of the files of a disk, in the order of its chain. */
export type DiskChain = readonly [DiskHeader, ...DiskHeader[]];

/** What merging needs beside the files. */
export interface MergeMeans {
  /** The backup server, on which the files are. */
  readonly server: Host;
  readonly sparsify: boolean;
  readonly signal: AbortSignal;
  readonly log: (text: string) => void;
}

/** Looks at the files of a disk. Throws `damaged` when an increment is no qcow2. */
export async function openDisk(server: Host, files: DiskFiles): Promise<DiskChain> {
  const chain = (await server.run(readHeaders(files.map(({ path }) => path)))) as unknown as DiskChain;
  const wrong = chain.findIndex(({ format }, index) => index > 0 && format !== 'qcow2');
  if (wrong === -1) return chain;
  throw new DriverError('damaged', `${files[wrong]?.path}, an increment, is not a qcow2`, { host: server.name });
}

/**
 * Brings into a folder what the newest backup of a chain holds, each disk merged: `files` are those of all its backups, in
 * order. No file of the chain is opened for writing. Exports of rbd stand side by side: only Ceph could merge them.
 */
export async function mergeInto(folder: AbsolutePath, files: readonly ChainFile[], means: MergeMeans): Promise<void> {
  const last = files.at(-1)?.link ?? 0;
  const groups = byDisk(files, last);
  for (const { name, path, link } of files.filter((file) => file.link === last && isBackupFile(file.name))) {
    const disk = parseDiskFile(name);
    const group = disk === undefined ? undefined : groups.get(disk.diskId);
    if (disk === undefined || group === undefined) {
      await means.server.run(hardLink(path, joinPath(folder, name)));
    } else if (disk.format === 'rbd') {
      for (const part of group) await means.server.run(hardLink(part.path, joinPath(folder, part.name)));
    } else {
      const number = incrementOfDiskFile(name) ?? link;
      await mergeDisk(group, joinPath(folder, `disk.${disk.diskId}.${number}`), means);
    }
  }
}

/**
 * Merges a disk into a copy of its full backup, for which a filesystem with reflinks copies nothing; checks that, and
 * that it shows what the chain shows.
 */
async function mergeDisk(files: DiskFiles, target: AbsolutePath, means: MergeMeans): Promise<void> {
  const { server } = means;
  const chain = await openDisk(server, files);
  const [base, ...increments] = chain;
  const top = chain[chain.length - 1] as DiskHeader;
  if (increments.length === 0 && !base.hasBacking) return server.run(hardLink(base.path, target));
  await server.run(copyReflinked(base.path, target));
  if (base.hasBacking) await server.run(qemuImg.setBacking(target, undefined, ''));
  const copy = { path: target, format: base.format };
  if (increments.length > 0) {
    const overlay = `${target}.top` as AbsolutePath;
    await server.run(qemuImg.create(overlay, top.virtualSizeBytes));
    const above = [...increments, { path: overlay, format: 'qcow2' as const }];
    await server.run(qemuImg.commitChain(qemuImg.chainOf([copy, ...above]), target));
    await server.files.remove(overlay);
  }
  if (base.format === 'qcow2') await server.run(qemuImg.check(target));
  await server.run(qemuImg.compare(qemuImg.chainOf(chain), copy));
  if (means.sparsify) await makeSparse(copy, means);
}

/** RSYNC_SPARSIFY, where virt-sparsify is installed, as in the stock driver. A disk that it cannot read stays as it is. */
async function makeSparse({ path, format }: qemuImg.ChainDisk, { server, log, signal }: MergeMeans): Promise<void> {
  if (!(await server.programs(['virt-sparsify'])).has('virt-sparsify')) return;
  await server.run(sparsify(path)).catch((error) => {
    if (signal.aborted) throw error;
    log(`not made sparse: ${asDriverError(error).message}`);
  });
  if (format === 'qcow2') await server.run(qemuImg.check(path));
}
