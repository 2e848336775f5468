import { DriverError } from '../errors';
import type { FileEntry, Host } from '../host/host';
import { parseDiskFile } from '../opennebula/backup-url';
import { type AbsolutePath, joinPath } from '../opennebula/ids';
import type { BackupFormat } from '../opennebula/image';
import { MANIFEST_FILE, type ManifestFile } from '../opennebula/manifest';
import type { BackupSource } from './engine';
import { manifestFile } from './manifests';

/** The content of a staging folder, checked: what a backup is made of. */
export interface Staged {
  readonly files: readonly ManifestFile[];
  readonly format: BackupFormat;
  readonly totalBytes: number;
}

/**
 * Lists the staging folder on its host and checks that it holds what the message promises: vm.xml and a plain file for
 * each disk, none of them a link (which would store a file of the host in its place). Throws `notFound` or `message`.
 */
export async function examineStaging(host: Host, source: BackupSource): Promise<Staged> {
  const entries = await host.files.list(source.folder, expected(source));
  const wanted = entries.filter(({ name }) => name === 'vm.xml' || name.startsWith('disk.'));
  for (const { name, type } of wanted) {
    if (type !== 'file') {
      throw new DriverError('failed', `${joinPath(source.folder, name)} is not a plain file but a ${type}`, {
        host: host.name,
        hint: 'Nothing was stored; see how the transfer driver filled the folder',
      });
    }
  }
  const files = wanted
    .map((entry) => toManifestFile(entry, source))
    .sort((a, b) => a.name.localeCompare(b.name, 'en', { numeric: true }));
  if (!files.some(({ name }) => name === 'vm.xml')) throw missing('vm.xml', source, host);
  for (const diskId of source.diskIds) {
    const held = files.filter((file) => file.diskId === diskId).map(({ name }) => name);
    if (held.length === 0) throw missing(`a file of disk ${diskId}`, source, host);
    if (held.length > 1) throw ambiguous(held, source, host);
  }
  const first = files.find(({ diskId }) => diskId !== undefined);
  return {
    files,
    format: parseDiskFile(first?.name ?? '')?.format ?? 'raw',
    totalBytes: files.reduce((sum, file) => sum + file.sizeBytes, 0),
  };
}

/** Writes manifest.json into the staging folder, and returns what the folder holds with it. */
export async function writeManifest(host: Host, folder: AbsolutePath, text: string, staged: Staged): Promise<Staged> {
  await host.files.write(joinPath(folder, MANIFEST_FILE), text);
  const sizeBytes = Buffer.byteLength(text);
  return {
    ...staged,
    files: [...staged.files, { name: MANIFEST_FILE, sizeBytes }],
    totalBytes: staged.totalBytes + sizeBytes,
  };
}

function toManifestFile(entry: FileEntry, { vm }: BackupSource): ManifestFile {
  const file = manifestFile(entry);
  const virtualSizeMb = file.diskId === undefined ? undefined : vm.diskSizesMb.get(file.diskId);
  return virtualSizeMb === undefined ? file : { ...file, virtualSizeMb };
}

function expected({ diskIds, vm }: BackupSource): FileEntry[] {
  const names = ['vm.xml', ...diskIds.map((diskId) => `disk.${diskId}.${vm.incrementId}`)];
  return names.map((name) => ({ name, type: 'file', sizeBytes: 0, modifiedAt: 0 }));
}

function missing(what: string, { folder, vm }: BackupSource, host: Host): DriverError {
  return new DriverError(
    'notFound',
    `the staging folder ${folder} of VM ${vm.id} holds no ${what.replace(/^a /, '')}`,
    {
      host: host.name,
      hint: 'The transfer driver must fill it first; run the backup again with: onevm backup',
    },
  );
}

function ambiguous(names: readonly string[], { folder }: BackupSource, host: Host): DriverError {
  return new DriverError(
    'failed',
    `the staging folder ${folder} holds ${names.join(' and ')}: which is the disk of now is unknown`,
    {
      host: host.name,
      hint: 'An old backup left something behind; empty the folder and run the backup again',
    },
  );
}
