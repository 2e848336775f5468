import { sha256 } from '../../command/checksum';
import { flush } from '../../command/copy';
import { removeBackups } from '../../command/receiving';
import { type AbsolutePath, joinPath } from '../../opennebula/ids';
import type { BackupImage } from '../../opennebula/image';
import type { Chain } from '../../opennebula/increment';
import { formatManifest, MANIFEST_FILE, type ManifestFile } from '../../opennebula/manifest';
import type { Links, Stored } from '../chain';
import type { ChainFile } from '../chain-files';
import type { EngineContext, FlattenedChain } from '../engine';
import { type Filling, fillFolder, newSource } from '../filling';
import { type FullBackup, flattenChain } from '../flatten';
import { isComplete, manifestFile, mergedManifest, sizeMbOf } from '../manifests';
import type { RsyncConfig } from './config';
import { makeSparse, mergeInto, verifyDisk } from './merge';
import type { VmFolder } from './vm-folder';

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
  means: FlattenMeans,
): Promise<FullBackup> {
  const { folder, context, driver } = means;
  const source = newSource();
  const files = await folder.chainFiles(links, () => true); // what comes of it holds them all
  let held: ManifestFile[] = [];
  const fill = async ({ path }: Filling): Promise<void> => {
    held = await mergeAndProve(path, files, means);
    const origin = { driver, datastoreId: context.datastore.id };
    const text = formatManifest(mergedManifest(image, replaced, held, origin));
    await folder.server.files.write(joinPath(path, MANIFEST_FILE), text);
  };
  await fillFolder(folder, source, { by: 'merge' }, 'publish', fill, context);
  return { source, sizeMb: sizeMbOf(held) };
}

/** Merges into a folder, and checks and flushes what came of it while its checksums are computed. */
async function mergeAndProve(
  path: AbsolutePath,
  files: readonly ChainFile[],
  { folder: { server }, config, context }: FlattenMeans,
): Promise<ManifestFile[]> {
  const merged = await mergeInto(path, files, server);
  const verified = Promise.all(merged.map((disk) => verifyDisk(disk, server)));
  verified.catch(() => {}); // awaited below, beside the rest
  if (config.sparsify) {
    await verified;
    for (const disk of merged) await makeSparse(disk, server, context);
  }
  const newest = files.filter(({ link }) => link === files.at(-1)?.link);
  const dryRun = newest.map(({ name }) => ({ name, type: 'file' as const, sizeBytes: 0, modifiedAt: 0 }));
  const held = (await server.files.list(path, dryRun)).map(manifestFile);
  const paths = held.map(({ name }) => joinPath(path, name));
  const [hashed, ...others] = await Promise.allSettled([server.run(sha256(paths)), server.run(flush(paths)), verified]);
  for (const other of others) if (other.status === 'rejected') throw other.reason;
  if (hashed.status === 'rejected') throw hashed.reason;
  return held.map((file, index) => ({ ...file, sha256: hashed.value[index] as string }));
}
