import type { Host } from '../../host/host';
import { joinPath } from '../../opennebula/ids';
import { formatManifest, MANIFEST_FILE } from '../../opennebula/manifest';
import type { BackupSource, EngineContext, StoredBackup } from '../engine';
import { type Filling, fillFolder, newSource } from '../filling';
import { manifestOf, sizeMbOf } from '../manifests';
import { parentIsGone, proveDisks } from '../parent';
import { examineStaging, type Staged } from '../staging';
import { transfer } from '../transfer';
import type { RsyncConfig } from './config';
import type { VmFolder } from './vm-folder';

/** What backing up needs beside the source. */
export interface BackupMeans {
  /** The host that holds the staging folder. */
  readonly host: Host;
  readonly folder: VmFolder;
  readonly config: RsyncConfig;
  readonly context: EngineContext;
  readonly driver: string;
}

/**
 * Stores a staging folder: rsync on the host sends it straight to the backup server, into a folder that becomes visible
 * when it is complete. Returns what is stored; throws what rsync failed with.
 */
export async function backUp(source: BackupSource, means: BackupMeans): Promise<StoredBackup> {
  const { host, folder, context } = means;
  const staged = await examineStaging(host, source);
  if (source.vm.parentId !== undefined && !context.dryRun) await proveParent(source, staged, means);
  const name = newSource();
  const fill = (filling: Filling): Promise<void> => receive(source, staged, filling, means);
  const files = staged.files.filter(({ diskId }) => diskId !== undefined);
  await fillFolder(folder, name, { by: 'transfer', files }, 'publish', fill, context);
  return { source: name, sizeMb: sizeMbOf(staged.files), format: staged.format };
}

/**
 * Makes sure that what an increment builds on is stored, with all its disks; where oned does not say what that is, any
 * backup. Throws `notFound`.
 */
async function proveParent(source: BackupSource, { files }: Staged, { host, folder }: BackupMeans): Promise<void> {
  const { server } = folder;
  const named = await source.parentSource();
  if (named === undefined && !(await folder.isEmpty())) return;
  const parent = named === undefined ? undefined : await folder.holding(named);
  if (parent === undefined) throw parentIsGone(source.vm, server.name);
  const names = (await folder.filesOf(parent)).map(({ name }) => name);
  await proveDisks(source, files, names, { host, server });
}

async function receive(source: BackupSource, staged: Staged, filling: Filling, means: BackupMeans): Promise<void> {
  const { folder, context, driver } = means;
  if (filling.resumes) context.log(`going on with what an earlier backup of VM ${source.vm.id} had sent`);
  const { host, config } = means;
  const files = await transfer(
    { host, folder: source.folder, staged, filling, server: folder.server },
    config,
    context,
  );
  const manifest = manifestOf(source, files, { driver, datastoreId: context.datastore.id });
  await folder.server.files.write(joinPath(filling.path, MANIFEST_FILE), formatManifest(manifest));
}
