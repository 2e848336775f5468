import type { Damage, LostPoint } from '../engine/inventory';
import { dependantsOf, type PlacedPoint } from '../engine/inventory-chains';
import { holdsDisk } from '../engine/inventory-problems';
import type { DiskId } from '../opennebula/ids';
import type { OnedBackup } from './oned-backups';

/** Something wrong, as it is told. */
export interface Finding {
  /** `null`: no backup needs what is damaged. */
  readonly vm: number | null;
  readonly increment: number | null;
  readonly source: string | null;
  readonly disk: number | null;
  readonly what: string;
  /** The sources of backups that cannot be restored because of it. */
  readonly neededBy: readonly string[];
}

/** What was found out, each in its way. */
interface Found {
  readonly damages?: readonly Damage[];
  /** What the engine's own notes miss. */
  readonly lost?: readonly LostPoint[];
  /** What oned lists and the server does not hold. */
  readonly onlyOned?: readonly OnedBackup[];
}

/**
 * What is wrong: backups that are gone, by what builds on them, by the engine's notes or by oned's list, and those of
 * which something is damaged. What only builds on them is not blamed.
 */
export function findingsOf(
  placed: readonly PlacedPoint[],
  { damages = [], lost = [], onlyOned = [] }: Found,
): Finding[] {
  const gone = new Map<string, Finding>();
  for (const one of placed.filter(({ parent, missing }) => parent === undefined && missing !== undefined)) {
    const { vmId, repository, standsAlone, disks } = one.point;
    const key = `${vmId}/${repository}/${one.missing}/${one.point.imageId ?? one.point.source}`;
    const neededBy = standsAlone ? [] : [one, ...dependantsOf(one)].map(({ point }) => point.source);
    const what = goneWith(disks.map(({ id }) => id));
    const before = gone.get(key);
    gone.set(key, {
      ...{ vm: vmId, increment: one.missing as number, source: null, disk: null, what },
      neededBy: [...(before?.neededBy ?? []), ...neededBy],
    });
  }
  for (const { vmId: vm, incrementId: increment, source, diskIds } of lost) {
    const [key = source, seen] =
      [...gone].find(([, one]) => one.source === null && one.vm === vm && one.increment === increment) ?? [];
    const neededBy = seen?.neededBy ?? [];
    gone.set(key, { vm, increment: increment ?? null, source, disk: null, what: goneWith(diskIds), neededBy });
  }
  const damaged = damages.map(({ vmId, jobId, source, diskId = null, file, what }): Finding => {
    const of = placed.find(({ point }) => point.vmId === vmId && point.jobId === jobId && point.source === source);
    if (source === undefined) return { vm: null, increment: null, source: null, disk: null, what, neededBy: [] };
    // vm.xml and the like are only read of the backup that is restored
    const isOwn = diskId === null && file !== undefined;
    const neededBy = of === undefined || isOwn ? [] : needing(of, diskId);
    return { vm: vmId, increment: of?.point.incrementId ?? null, source, disk: diskId, what, neededBy };
  });
  // One without a disk, and what only builds on such a one: no check looks at what is not there.
  const unplaced = placed
    .filter(({ broken, missing, point }) => {
      const isTold = damages.some(({ vmId, source }) => vmId === point.vmId && source === point.source);
      return broken !== undefined && missing === undefined && !isTold;
    })
    .map(({ point: { vmId: vm, incrementId: increment = null, source }, broken = '' }): Finding => {
      return { vm, increment, source, disk: null, what: broken, neededBy: [] };
    });
  const unknown = onlyOned
    .filter(
      ({ vmId, incrementId, source }) =>
        ![...gone.values()].some((one) => one.vm === vmId && (one.increment === incrementId || one.source === source)),
    )
    .map(({ vmId = null, incrementId = 0, source }): Finding => {
      return {
        vm: vmId,
        increment: incrementId,
        source,
        disk: null,
        what: 'oned lists it, and it is gone',
        neededBy: [],
      };
    });
  return [...gone.values(), ...unknown, ...unplaced, ...damaged];
}

function goneWith(disks: readonly number[]): string {
  const ids = [...new Set(disks)].sort((a, b) => a - b).join(', ');
  return ids === '' ? 'it is gone' : `it is gone, with disk ${ids}`;
}

/** What cannot be restored without that disk of a backup: what builds on it for as long as each holds the disk. */
function needing({ children }: PlacedPoint, diskId: DiskId | null): string[] {
  return children
    .filter(({ point }) => !point.standsAlone && (diskId === null || holdsDisk(point, diskId)))
    .flatMap((child) => [child.point.source, ...needing(child, diskId)]);
}
