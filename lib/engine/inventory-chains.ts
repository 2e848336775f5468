import type { DiskId, ImageId, IncrementId } from '../opennebula/ids';
import { type Chain, type Increment, toChain } from '../opennebula/increment';
import type { StoredPoint } from './inventory';
import { holdsDisk, problemOf } from './inventory-problems';

/** A stored backup in its chain. */
export interface PlacedPoint {
  readonly point: StoredPoint;
  /** The one that it builds on; undefined for one that needs none, and for one whose parent is gone. */
  readonly parent: PlacedPoint | undefined;
  /** What builds on it, directly. */
  readonly children: readonly PlacedPoint[];
  /** Why none of it can be restored: its chain is broken. */
  readonly broken: string | undefined;
  /** Why a disk cannot be restored: a file of it is damaged, here or in a backup that this one builds on. */
  readonly damaged: ReadonlyMap<DiskId, string>;
  /** The increment that it builds on and that is missing, which need be no problem of its own. */
  readonly missing: IncrementId | undefined;
  /** The merged backup that stands in its place. */
  readonly supersededBy: StoredPoint | undefined;
}

interface Placing {
  readonly point: StoredPoint;
  parent: Placing | undefined;
  children: Placing[];
  broken: string | undefined;
  damaged: Map<DiskId, string>;
  missing: IncrementId | undefined;
  supersededBy: StoredPoint | undefined;
  /** The image of the chain, as far as one of its backups told it; kept at its beginning. */
  imageId: ImageId | undefined;
}

/**
 * Puts backups into their chains: an increment builds on the newest earlier one, of its VM and job, that ends where it
 * begins. Sorted by VM, job and time.
 */
export function placePoints(points: readonly StoredPoint[]): PlacedPoint[] {
  const groups = grouped(points, ({ vmId, repository }) => `${vmId}/${repository}`);
  const sorted = [...groups.values()].sort(([a], [b]) => {
    const [one, other] = [a as StoredPoint, b as StoredPoint];
    return one.vmId - other.vmId || compare(one.repository, other.repository);
  });
  return sorted.flatMap(placeGroup);
}

/** The backups that restore a point, the full one first. */
export function linksOf(placed: PlacedPoint): PlacedPoint[] {
  const { parent } = placed;
  return parent === undefined || placed.point.standsAlone ? [placed] : [...linksOf(parent), placed];
}

/** The chain that restores a point, as a backup URL names it. Throws `message` for one whose number is not known. */
export function chainUpToPoint(placed: PlacedPoint): Chain {
  const links = linksOf(placed).map(({ point: { incrementId, source } }): Increment => {
    return { id: incrementId ?? (0 as IncrementId), source };
  });
  return toChain(links, `the chain of ${placed.point.source}`);
}

/** All that could not be restored without this one. */
export function dependantsOf({ children }: PlacedPoint): PlacedPoint[] {
  return children.filter(({ point }) => !point.standsAlone).flatMap((child) => [child, ...dependantsOf(child)]);
}

/**
 * Backups that a merged one replaced and that nothing needs: taking them away breaks no backup that could be restored,
 * and the merged one is whole itself.
 */
export function superseded(placed: readonly PlacedPoint[]): PlacedPoint[] {
  const whole = (all: readonly PlacedPoint[]): Set<string> =>
    new Set(all.filter((one) => problemOf(one) === undefined).map(({ point }) => keyOf(point)));
  const before = whole(placed);
  // What it replaced may hold the only vm.xml that is left.
  const isWhole = (point: StoredPoint): boolean => before.has(keyOf(point)) && point.defects.length === 0;
  const found = placed.filter(({ supersededBy }) => supersededBy !== undefined && isWhole(supersededBy));
  const gone = new Set(found.map(({ point }) => keyOf(point)));
  const after = whole(placePoints(placed.map(({ point }) => point).filter((point) => !gone.has(keyOf(point)))));
  const isSafe = [...before].every((key) => gone.has(key) || after.has(key));
  return isSafe ? found : [];
}

/** What tells a backup from all others of the datastore. */
export function keyOf({ vmId, repository, source }: Pick<StoredPoint, 'vmId' | 'repository' | 'source'>): string {
  return `${vmId}/${repository}/${source}`;
}

/** Puts things with the same key together, in their order. */
export function grouped<T, K>(all: readonly T[], keyFor: (one: T) => K): Map<K, T[]> {
  const groups = new Map<K, T[]>();
  for (const one of all) {
    const key = keyFor(one);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [one]);
    else group.push(one);
  }
  return groups;
}

function placeGroup(points: readonly StoredPoint[]): PlacedPoint[] {
  const all = [...points]
    .sort((a, b) => a.timeMs - b.timeMs || (a.incrementId ?? -1) - (b.incrementId ?? -1) || compare(a.source, b.source))
    .map((point): Placing => {
      const rest = { parent: undefined, broken: undefined, missing: undefined, supersededBy: undefined };
      const own = point.defects.flatMap(({ diskId, what }) => (diskId === undefined ? [] : [[diskId, what] as const]));
      return { point, ...rest, children: [], damaged: new Map(own.reverse()), imageId: point.imageId };
    });
  for (const one of all) {
    one.supersededBy = all.find(({ point }) => point !== one.point && point.replaces.includes(one.point.source))?.point;
  }
  for (const one of all) place(one, all);
  return all;
}

function place(one: Placing, all: readonly Placing[]): void {
  const { point } = one;
  const { incrementId, type, standsAlone } = point;
  const needsNone = standsAlone || type === 'FULL';
  if (incrementId === undefined || type === 'UNKNOWN') {
    if (!standsAlone) one.broken = 'its place in a chain is not known';
    return;
  }
  if (type === 'FULL') return;
  const wanted = point.parentId ?? ((incrementId - 1) as IncrementId);
  const parent = parentOf(one, wanted, all);
  if (parent === undefined) {
    if (needsNone && !isLost(one, wanted, all)) return;
    one.missing = wanted;
    if (!needsNone) one.broken = `increment ${wanted} is gone`;
    return;
  }
  one.parent = parent;
  parent.children.push(one);
  const first = firstOf(one);
  first.imageId ??= point.imageId;
  if (needsNone) return;
  if (parent.broken !== undefined) one.missing = parent.missing;
  one.broken = parent.broken;
  for (const [diskId, what] of parent.damaged) {
    if (one.damaged.has(diskId) || !holdsDisk(point, diskId)) continue;
    const isOwn = parent.point.defects.some((defect) => defect.what === what);
    one.damaged.set(diskId, isOwn ? `increment ${wanted}: ${what}` : what);
  }
}

/**
 * The newest of those that end where it begins, in its own chain: a full backup in between began another one. One that is
 * broken gives way to the merged one that has its place, or the other way round.
 */
function parentOf(one: Placing, wanted: IncrementId, all: readonly Placing[]): Placing | undefined {
  const fitting = all.filter((other) => {
    return other !== one && other.point.incrementId === wanted && isSameChain(one, other, all);
  });
  const earlier = fitting.filter((other) => other.point.timeMs <= one.point.timeMs);
  // The time of a merged one can be that of the merge.
  const candidates = earlier.length > 0 ? earlier : fitting.filter((other) => other.point.replaces.length > 0);
  const [newest] = candidates.sort(
    (a, b) => b.point.timeMs - a.point.timeMs || a.point.replaces.length - b.point.replaces.length,
  );
  if (newest === undefined || problemOf(newest) === undefined) return newest;
  const stands = (other: Placing): boolean =>
    problemOf(other) === undefined && (newest.supersededBy === other.point || other.supersededBy === newest.point);
  return fitting.find(stands) ?? newest;
}

/** The oldest of a chain are the first to go: one that is gone although an older one is there was lost. */
function isLost({ point: { type, chain } }: Placing, wanted: IncrementId, all: readonly Placing[]): boolean {
  if (type === 'FULL' || chain === undefined) return false;
  return all.some(
    ({ point }) => point.chain === chain && point.incrementId !== undefined && point.incrementId < wanted,
  );
}

/** Their chain's own name tells, or images, where both are known; else whether the VM began a new chain after the other one. */
function isSameChain({ point }: Placing, other: Placing, all: readonly Placing[]): boolean {
  if (point.chain !== undefined && other.point.chain !== undefined) return point.chain === other.point.chain;
  const { imageId } = firstOf(other);
  if (point.imageId !== undefined && imageId !== undefined) return point.imageId === imageId;
  const family = sourcesOf(other);
  return !all.some(({ point: root }) => {
    const isBetween = root.timeMs > other.point.timeMs && root.timeMs <= point.timeMs;
    const begins = root.type === 'FULL' && root !== other.point && root !== point && !root.standsAlone;
    const isOfIt = root.replaces.some((source) => family.includes(source));
    return begins && isBetween && !isOfIt && (imageId === undefined || root.imageId !== imageId);
  });
}

function sourcesOf(one: Placing): string[] {
  return [one.point.source, ...(one.parent === undefined ? [] : sourcesOf(one.parent))];
}

function firstOf(one: Placing): Placing {
  return one.parent === undefined ? one : firstOf(one.parent);
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
