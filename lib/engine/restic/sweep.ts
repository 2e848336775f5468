import type { Host } from '../../host/host';
import { joinPath } from '../../opennebula/ids';
import type { Repository } from './repository';

/** restic uploads into `<name>-restic-temp-<random>` and renames; what a killed one left, no command of restic removes. */
const UPLOAD = /-restic-temp-[0-9a-f]+$/;
const PARALLEL = 16;

/**
 * Removes the unfinished uploads of killed programs from a repository. They are listed first and the locks after:
 * an upload that is there while nobody holds a lock belongs to nobody, for its owner took a lock before it began.
 * Returns how many were removed.
 */
export async function sweepUploads(repository: Repository, server: Host): Promise<number> {
  const data = joinPath(repository.path, 'data');
  const folders = (await server.files.list(data, [])).filter(
    (entry) => entry.type === 'folder' && /^[0-9a-f]{2}$/.test(entry.name),
  );
  const found: string[][] = [];
  for (let at = 0; at < folders.length; at += PARALLEL) {
    const some = folders.slice(at, at + PARALLEL);
    const listed = await Promise.all(some.map(({ name }) => server.files.list(joinPath(data, name), [])));
    listed.forEach((entries, index) => {
      for (const { name } of entries.filter((entry) => UPLOAD.test(entry.name)))
        found.push([some[index]?.name ?? '', name]);
    });
  }
  if (found.length === 0 || (await repository.hasLocks(server))) return 0;
  for (const names of found) await server.files.remove(joinPath(data, ...names));
  return found.length;
}
