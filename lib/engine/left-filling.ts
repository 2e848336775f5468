import { type LeftFile, removeDeadFilling } from '../command/leftovers';
import { MERGING, RECEIVING } from '../command/receiving';
import type { Host } from '../host/host';
import { parseAbsolutePath } from '../opennebula/ids';
import type { Leftover } from './inventory';

/** A folder on the backup server that a dead action was filling, or removing. */
export function leftFilling(server: Host, { path, bytes, modifiedMs, holdsData }: LeftFile): Leftover {
  const left = parseAbsolutePath(path, 'an unfinished backup', 'failed');
  const where = `${server.name}:${path}`;
  const filling = { where, bytes, modifiedMs, remove: () => server.run(removeDeadFilling(left)) };
  if (path.includes(`/${MERGING}`)) return { what: 'a merge that was broken off', ...filling };
  if (!path.includes(`/${RECEIVING}`)) return { what: 'a backup that was being removed', ...filling };
  if (!holdsData) return { ...filling, what: 'a transfer that was broken off before any data', bytes: 0 };
  return { what: 'a broken transfer, with which the next backup of the VM would go on', ...filling, isOfUse: true };
}
