import type { Inventory, StoredPoint } from '../engine/inventory';
import { dependantsOf, keyOf, type PlacedPoint, placePoints } from '../engine/inventory-chains';
import { isRewritten } from '../engine/inventory-points';
import { problemOf } from '../engine/inventory-problems';
import { DriverError } from '../errors';
import type { VmId } from '../opennebula/ids';
import type { OpenedDatastore } from './open-datastore';

/** Looking at a backup takes a second or so: a list does it for no more than this. */
const LOOKED_AT_MOST = 16;
const PARALLEL = 2;

/** What the engine of a datastore tells without oned. Throws `unsupported`. */
export function inventoryOf({ engine, driver }: Pick<OpenedDatastore, 'engine' | 'driver'>): Inventory {
  const inventory = engine().inventory?.();
  if (inventory !== undefined) return inventory;
  throw new DriverError('unsupported', `the driver ${driver.name} cannot list what its server holds`);
}

/** The backups in their chains, and how many of them were not looked at although that might have told more. */
export interface StoredBackups {
  readonly placed: readonly PlacedPoint[];
  readonly unclear: number;
  /** Those and what builds on them, of which it is not known whether they can be restored. */
  readonly unlooked: ReadonlySet<PlacedPoint>;
  /** What parts of the datastore could not be listed with. */
  readonly failures: readonly DriverError[];
}

/**
 * Lists the backups and puts them into chains. Those of which the list does not tell their place are looked at: the stock
 * driver notes nowhere that it merged one, and images tell chains apart. `most`: no more than so many.
 */
export async function storedBackups(
  inventory: Inventory,
  vmId: VmId | undefined,
  most = vmId === undefined ? LOOKED_AT_MOST : Number.POSITIVE_INFINITY,
): Promise<StoredBackups> {
  const failures: DriverError[] = [];
  const points = await inventory.points(vmId, (failure) => failures.push(failure));
  const placed = placePoints(points);
  const open = unclear(placed, inventory);
  if (open.length === 0 || open.length > most)
    return { placed, unclear: open.length, unlooked: withDependants(placed, open), failures };
  const looked = new Map<string, StoredPoint>();
  const queue = [...open];
  const worker = async (): Promise<void> => {
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
      const { point } = await inventory.inspect(next).catch((error: unknown) => {
        if (error instanceof DriverError && ['notFound', 'damaged'].includes(error.kind)) return { point: undefined };
        throw error;
      });
      if (point !== undefined) looked.set(keyOf(next), { ...point, timeMs: next.timeMs });
    }
  };
  await Promise.all(Array.from({ length: PARALLEL }, worker));
  return {
    placed: placePoints(points.map((point) => looked.get(keyOf(point)) ?? point)),
    unclear: 0,
    unlooked: new Set(),
    failures,
  };
}

function withDependants(placed: readonly PlacedPoint[], open: readonly StoredPoint[]): Set<PlacedPoint> {
  const points = new Set(open);
  const all = placed.filter(({ point }) => points.has(point)).flatMap((one) => [one, ...dependantsOf(one)]);
  return new Set(all.filter((one) => problemOf(one) !== undefined && one.point.defects.length === 0));
}

/** Backups without a place, and those that might be it, as far as looking at them can tell more than the list. */
function unclear(placed: readonly PlacedPoint[], { isWrittenInto = false }: Inventory): StoredPoint[] {
  const found = new Map<string, StoredPoint>();
  const add = (point: StoredPoint): void => {
    const isKnown = point.imageId !== undefined || point.defects.length > 0;
    if (!isKnown && !point.standsAlone) found.set(keyOf(point), point);
  };
  for (const { point, parent, missing } of placed) {
    if (point.type === 'UNKNOWN') add(point);
    const isOrphan = missing !== undefined && parent === undefined;
    if (isWrittenInto && point.type === 'INCREMENT' && (isOrphan || isRewritten(point))) found.set(keyOf(point), point);
    if (!isOrphan) continue;
    add(point);
    for (const { point: other } of placed) {
      const fits = other.vmId === point.vmId && other.repository === point.repository;
      if (fits && other.incrementId === missing && other.hasManifest) add(other);
    }
  }
  return [...found.values()];
}
