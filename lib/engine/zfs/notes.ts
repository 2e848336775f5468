import { setTimeout as sleep } from 'node:timers/promises';
import { findNotes, removeNotes } from '../../command/notes';
import * as zfs from '../../command/zfs';
import { DriverError } from '../../errors';
import type { Host, RunOptions } from '../../host/host';
import { type AbsolutePath, joinPath, parseVmId, type VmId } from '../../opennebula/ids';
import { parseManifest } from '../../opennebula/manifest';
import type { LostPoint, StoredPoint } from '../inventory';
import { ifMissing, mountpointOf, type VmDataset } from './vm-dataset';

/**
 * In the datastore's dataset: for each backup a copy of its manifest, a folder for each VM. It is written after the
 * snapshot and removed right after it; so a note without its snapshot is a backup that somebody else has destroyed.
 */
const NOTES = '.backups';
/** What an action needs to remove a note once it has destroyed the snapshot, in milliseconds. */
const REMOVING_MS = 2_000;

/** Notes that a backup is stored. `place` is where the datastore's dataset is mounted. */
export async function note(
  { server, vmId }: VmDataset,
  place: AbsolutePath,
  source: string,
  manifest: string,
): Promise<void> {
  const folder = joinPath(place, NOTES, vmId);
  await server.files.makeFolder(folder);
  await server.files.write(joinPath(folder, source), manifest);
}

/** Forgets backups that were destroyed, or never stored. */
export async function forget(
  { server, vmId }: VmDataset,
  place: AbsolutePath,
  sources: readonly string[],
  options?: RunOptions,
): Promise<void> {
  for (const some of zfs.portionsOf(sources))
    await server.run(removeNotes(joinPath(place, NOTES, vmId), some), options);
}

/** Where the notes of a datastore's dataset are; undefined when the dataset is gone. Throws `failed` when it is not mounted. */
export async function placeOf(server: Host, name: string, options?: RunOptions): Promise<AbsolutePath | undefined> {
  const [own] = (await server.run(zfs.list(name, 'filesystem'), options).catch(ifMissing)) ?? [];
  return own === undefined ? undefined : mountpointOf(own, server);
}

/** The backups, of one VM or of all, that are noted and have no snapshot; `points` is asked once the notes are listed. */
export async function lostPoints(
  server: Host,
  place: AbsolutePath,
  vmId: VmId | undefined,
  points: () => Promise<readonly StoredPoint[]>,
): Promise<LostPoint[]> {
  const folder = joinPath(place, NOTES);
  const isWanted = (path: string): boolean => vmId === undefined || path.startsWith(`${vmId}/`);
  const noted = (await server.run(findNotes(folder))).filter(isWanted);
  const stored = new Set((await points()).map(({ vmId, source }) => `${vmId}/${source}`));
  const lost: LostPoint[] = [];
  const without = noted.filter((path) => !stored.has(path));
  if (without.length > 0) await sleep(REMOVING_MS);
  for (const one of without) {
    const path = joinPath(folder, ...one.split('/'));
    const text = await server.files.read(path, '').catch(ifMissing);
    if (text === undefined) continue; // it was removed meanwhile, and its snapshot with it
    const [folderName = '', source = ''] = one.split('/');
    const ownVm = parseVmId(folderName, 'a folder of notes');
    lost.push({ vmId: ownVm, source, ...told(text.toString(), path), note: path });
  }
  return lost;
}

/** What a note says of its backup; that there was one, its name tells even when it is damaged. */
function told(text: string, path: AbsolutePath): Pick<LostPoint, 'incrementId' | 'diskIds'> {
  try {
    const { incrementId, files } = parseManifest(text, path);
    return { incrementId, diskIds: files.flatMap(({ diskId }) => (diskId === undefined ? [] : [diskId])) };
  } catch (error) {
    if (error instanceof DriverError && error.kind === 'damaged') return { incrementId: undefined, diskIds: [] };
    throw error;
  }
}
