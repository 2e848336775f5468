import type { DiskId } from '../opennebula/ids';
import type { StoredPoint } from './inventory';
import type { PlacedPoint } from './inventory-chains';

/** Why not all of it can be restored, or not these disks; undefined when nothing is seen to be wrong. */
export function problemOf(
  { broken, damaged }: Pick<PlacedPoint, 'broken' | 'damaged'>,
  diskIds: readonly DiskId[] = [],
): string | undefined {
  if (broken !== undefined) return broken;
  const wrong = [...damaged].filter(([diskId]) => diskIds.length === 0 || diskIds.includes(diskId));
  return wrong.length === 0 ? undefined : [...new Set(wrong.map(([, what]) => what))].join('; ');
}

/** Whether a backup has a file of a disk, or should have. */
export function holdsDisk({ disks, defects }: StoredPoint, diskId: DiskId): boolean {
  return disks.some(({ id }) => id === diskId) || defects.some((one) => one.diskId === diskId);
}
