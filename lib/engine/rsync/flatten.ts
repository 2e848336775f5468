import { sha256 } from '../../command/checksum';
import { removeBackups } from '../../command/receiving';
import { type AbsolutePath, joinPath } from '../../opennebula/ids';
import type { BackupImage } from '../../opennebula/image';
import { type Chain, lastOf } from '../../opennebula/increment';
import { formatManifest, MANIFEST_FILE } from '../../opennebula/manifest';
import type { Links, Stored } from '../chain';
import type { EngineContext, FlattenedChain } from '../engine';
import { type FullBackup, flattenChain } from '../flatten';
import { isComplete, manifestFile, mergedManifest, sizeMbOf } from '../manifests';
import type { RsyncConfig } from './config';
import { mergeInto } from './merge';
import { fillFolder } from './receive';
import { newSource, type VmFolder } from './vm-folder';

/** What flattening needs beside the image. */
export interface FlattenMeans {
  readonly folder: VmFolder;
  readonly config: RsyncConfig;
  readonly context: EngineContext;
  readonly driver: string;
}

/** Flattens a chain; the manifest of the merged backup names what it replaces. */
export async function flatten(image: BackupImage, keepLast: number, means: FlattenMeans): Promise<FlattenedChain> {
  const { folder, context } = means;
  const steps = {
    all: await folder.stored(image.chain),
    examine: (stored: Stored) => examine(stored, folder),
    merge: (links: Links<Stored>, replaced: Chain) => merge(image, replaced, links, means),
    remove: (old: readonly Stored[]) =>
      folder.server.run(
        removeBackups(
          folder.path,
          old.map(({ source }) => source),
        ),
      ),
  };
  return flattenChain(image, keepLast, steps, context);
}

async function examine({ source }: Stored, folder: VmFolder): Promise<FullBackup | undefined> {
  const manifest = await folder.manifest(source);
  if (manifest === undefined || !isComplete(manifest, await folder.filesOf(source))) return undefined;
  return { source, sizeMb: sizeMbOf(manifest.files) };
}

async function merge(
  image: BackupImage,
  replaced: Chain,
  links: Links<Stored>,
  { folder, config, context, driver }: FlattenMeans,
): Promise<FullBackup> {
  const source = newSource();
  const { server } = folder;
  const files = await folder.chainFiles(links);
  let sizeMb = 0;
  const fill = async ({ path }: { readonly path: AbsolutePath }): Promise<void> => {
    await mergeInto(path, files, { server, sparsify: config.sparsify, signal: context.signal, log: context.log });
    const dryRun = ['vm.xml', `disk.0.${lastOf(replaced).id}`].map((name) => ({ name, sizeBytes: 0 }));
    const held = (
      await server.files.list(
        path,
        dryRun.map((file) => ({ ...file, type: 'file', modifiedAt: 0 })),
      )
    ).map(manifestFile);
    const hashes = await server.run(sha256(held.map(({ name }) => joinPath(path, name))));
    const listed = held.map((file, index) => ({ ...file, sha256: hashes[index] as string }));
    const origin = { driver, datastoreId: context.datastore.id };
    const text = formatManifest(mergedManifest(image, replaced, listed, origin));
    await server.files.write(joinPath(path, MANIFEST_FILE), text);
    sizeMb = sizeMbOf(held);
  };
  await fillFolder(folder, source, { by: 'merge' }, fill, context);
  return { source, sizeMb };
}
