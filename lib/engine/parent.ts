import { DriverError } from '../errors';
import type { VmToBackUp } from '../opennebula/vm';

/**
 * The error for an increment whose parent is not stored any more. oned does not look at the backup server: it extends a
 * chain night after night also when nothing of it is there, and no such increment could ever be restored.
 */
export function parentIsGone({ id, parentId }: VmToBackUp, host: string): DriverError {
  return new DriverError('notFound', `increment ${parentId} of VM ${id}, which this one builds on, is gone`, {
    host,
    hint: 'See that the storage there is mounted and is the right one, or begin a new chain with: onevm backup --reset',
  });
}
