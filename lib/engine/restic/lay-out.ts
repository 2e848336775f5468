import * as qemuImg from '../../command/qemu-img';
import { sparsify } from '../../command/virt-sparsify';
import { asDriverError } from '../../errors';
import { incrementOfDiskFile, parseDiskFile } from '../../opennebula/backup-url';
import { type AbsolutePath, joinPath } from '../../opennebula/ids';
import type { BackupImage } from '../../opennebula/image';
import { type Chain, lastOf } from '../../opennebula/increment';
import { formatManifest, MANIFEST_FILE, type ManifestFile } from '../../opennebula/manifest';
import { byDisk, type ChainFile } from '../chain-files';
import type { EngineContext } from '../engine';
import { manifestFile, mergedManifest } from '../manifests';
import type { FlattenMeans } from './flatten';
import { mergeDisk } from './merge';
import type { Repository } from './repository';

/**
 * Brings the content of the new snapshot into `<folder>/<VM_ID>/backup`, the path by which the stock downloader
 * recognises the VM: each disk of the newest backup, merged and named as the newest, and the newest vm.xml and TPM state.
 * Exports of rbd are kept side by side, as they are: only Ceph could merge them, and one snapshot holds them as well.
 */
export async function layOut(
  image: BackupImage,
  merged: Chain,
  restored: readonly ChainFile[],
  folder: AbsolutePath,
  { repository, context, driver, config }: FlattenMeans,
): Promise<ManifestFile[]> {
  const { files } = repository.host;
  const last = restored.at(-1)?.link ?? 0;
  const newest = restored.filter((file) => file.link === last);
  const target = joinPath(folder, image.vmId, 'backup');
  await files.makeFolder(target);
  const groups = byDisk(restored, last);
  for (const { name } of newest.filter((file) => parseDiskFile(file.name) !== undefined)) {
    const disk = parseDiskFile(name);
    const group = groups.get(disk?.diskId ?? -1);
    if (group === undefined || disk === undefined) continue;
    if (disk.format === 'rbd') {
      for (const part of group) await files.rename(part.path, joinPath(target, part.name));
    } else {
      const path = await mergeDisk(repository, group);
      if (config.sparsify) await makeSparse(repository, path, context);
      const number = incrementOfDiskFile(name) ?? lastOf(merged).id;
      await files.rename(path, joinPath(target, `disk.${disk.diskId}.${number}`));
    }
  }
  for (const { path, name } of newest.filter((file) => parseDiskFile(file.name) === undefined)) {
    await files.rename(path, joinPath(target, name));
  }
  const dryRun = newest.map(({ name }) => ({ name, type: 'file' as const, sizeBytes: 0, modifiedAt: 0 }));
  const held = (await files.list(target, dryRun)).map(manifestFile);
  const origin = { driver, datastoreId: context.datastore.id };
  const text = formatManifest(mergedManifest(image, merged, held, origin));
  await files.write(joinPath(target, MANIFEST_FILE), text);
  return [
    ...held,
    { name: MANIFEST_FILE, sizeBytes: held.every((file) => file.sizeBytes === 0) ? 0 : Buffer.byteLength(text) },
  ];
}

/** RESTIC_SPARSIFY, where virt-sparsify is installed, as in the stock driver. A disk that it cannot read stays as it is. */
async function makeSparse({ host }: Repository, path: AbsolutePath, { log, signal }: EngineContext): Promise<void> {
  if (!(await host.programs(['virt-sparsify'])).has('virt-sparsify')) return;
  await host.run(sparsify(path)).catch((error) => {
    if (signal.aborted) throw error;
    log(`not made sparse: ${asDriverError(error).message}`);
  });
  await host.run(qemuImg.check(path));
}
