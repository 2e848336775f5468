import { listDeadTemporaries, removeTree } from '../command/leftovers';
import { asDriverError } from '../errors';
import type { Host } from '../host/host';
import { type AbsolutePath, parseAbsolutePath } from '../opennebula/ids';
import type { Leftover } from './inventory';

/** The temporary folders that dead actions left on a host; none where the login gives no shell. */
export async function temporaryLeftovers(
  host: Host,
  parent: AbsolutePath,
  log: (text: string) => void,
): Promise<Leftover[]> {
  if ((await host.programs(['sh', 'du'])).size < 2) return [];
  const found = await host.run(listDeadTemporaries(parent)).catch((error) => {
    log(asDriverError(error).message);
    return [];
  });
  return found.map(({ path, bytes, modifiedMs }) => {
    const left = parseAbsolutePath(path, 'a temporary folder', 'failed');
    const where = `${host.name}:${path}`;
    return { what: 'a temporary folder', where, bytes, modifiedMs, remove: () => host.run(removeTree(left)) };
  });
}
