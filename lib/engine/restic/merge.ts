import * as qemuImg from '../../command/qemu-img';
import * as restic from '../../command/restic';
import { DriverError } from '../../errors';
import { type AbsolutePath, joinPath, parseAbsolutePath } from '../../opennebula/ids';
import type { Links } from '../chain';
import { type ChainFile, type DiskFiles, nameOf } from '../chain-files';
import type { StoredSnapshot } from './chain';
import type { Repository } from './repository';

/** How many snapshots are restored at a time: the work of one is mostly to wait for the server. */
const PARALLEL = 2;

/**
 * Restores the files with these names (restic's patterns for `--include`) of all snapshots of a chain, each below a
 * folder of its own, and returns them in the order of the chain.
 */
export async function restoreLinks(
  repository: Repository,
  links: Links<StoredSnapshot>,
  folder: AbsolutePath,
  patterns: readonly string[],
  wanted: (name: string) => boolean,
): Promise<ChainFile[]> {
  const [major, minor] = await repository.run(restic.version(repository.access));
  const sparse = major > 0 || minor >= 15; // restic's changelog: restore --sparse since 0.15
  const restored: ChainFile[] = [];
  const queue = links.map((link, index) => ({ link, index }));
  const worker = async (): Promise<void> => {
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
      const { link, index } = next;
      const target = joinPath(folder, index);
      const paths = (await repository.filesOf(link.stored)).filter((path) => wanted(nameOf(path)));
      await repository.run(restic.restore(repository.access, link.stored.id, target, patterns, sparse));
      restored.push(
        ...paths.map((path) => ({
          path: parseAbsolutePath(`${target}${path}`, 'a restored file'),
          name: nameOf(path),
          link: index,
        })),
      );
    }
  };
  const stopAll = (error: unknown): never => {
    queue.length = 0;
    throw error;
  };
  const workers = Array.from({ length: PARALLEL }, () => worker().catch(stopAll));
  const ended = await Promise.allSettled(workers); // when one fails, the other still writes
  for (const one of ended) if (one.status === 'rejected') throw one.reason;
  return restored.sort((a, b) => a.link - b.link);
}

/**
 * Merges one disk of a chain, whose files stand in order, into the first of them, and returns that.
 * Each file's own idea of its backing file is meaningless (contract, backup) and is replaced, never followed.
 */
export async function mergeDisk(repository: Repository, files: DiskFiles): Promise<AbsolutePath> {
  const { host } = repository;
  const [base, ...increments] = files;
  const { format } = await host.run(qemuImg.info(base.path));
  if (format === 'qcow2') await host.run(qemuImg.setBacking(base.path, undefined, ''));
  let below = { path: base.path, format: format as string };
  for (const increment of increments) {
    const found = await host.run(qemuImg.info(increment.path));
    if (found.format !== 'qcow2') {
      throw new DriverError('damaged', `${increment.name}, an increment, is not a qcow2 but ${found.format}`);
    }
    await host.run(qemuImg.setBacking(increment.path, below.path, below.format));
    below = { path: increment.path, format: 'qcow2' };
  }
  if (increments.length > 0) await host.run(qemuImg.commit(below.path, base.path));
  if (format === 'qcow2') await host.run(qemuImg.check(base.path));
  return base.path;
}
