import { linksOf, type PlacedPoint } from '../engine/inventory-chains';
import { problemOf } from '../engine/inventory-problems';
import { DriverError } from '../errors';
import type { DiskId, IncrementId, Parse, VmId } from '../opennebula/ids';
import { pointText, timeText } from './backup-texts';

/** Which backup of a VM is meant; the newest, if nothing is said. */
export interface Wanted {
  readonly vmId: VmId;
  readonly source?: string | undefined;
  readonly incrementId?: IncrementId | undefined;
  /** The newest that is not newer than this. */
  readonly untilMs?: number | undefined;
}

/** Chooses it. Throws `notFound`, saying what there is. */
export function choosePoint(placed: readonly PlacedPoint[], wanted: Wanted): PlacedPoint {
  const { vmId, source, incrementId, untilMs } = wanted;
  const own = placed.filter(({ point }) => point.vmId === vmId).sort((a, b) => a.point.timeMs - b.point.timeMs);
  const [oldest] = own;
  if (oldest === undefined) {
    const vms = [...new Set(placed.map(({ point }) => point.vmId))]; // none where only that VM was asked for
    throw new DriverError('notFound', `there is no backup of VM ${vmId}`, {
      hint: vms.length === 0 ? 'See what there is with: backupctl list' : `There are backups of VM ${vms.join(', ')}`,
    });
  }
  if (source !== undefined) {
    const named = own.filter(({ point }) => point.source.startsWith(source));
    const exact = named.find(({ point }) => point.source === source) ?? named[0];
    if (exact !== undefined && (named.length === 1 || exact.point.source === source)) return exact;
    const what = named.length === 0 ? 'names no backup' : `begins the name of ${named.length} backups`;
    throw new DriverError('notFound', `${source} ${what} of VM ${vmId}`, { hint: 'See: backupctl list' });
  }
  const inTime = own.filter(({ point }) => untilMs === undefined || point.timeMs <= untilMs);
  if (inTime.length === 0) {
    throw new DriverError('notFound', `VM ${vmId} has no backup so old`, {
      hint: `The oldest is of ${timeText(oldest.point.timeMs)}`,
    });
  }
  const fitting = inTime.filter(({ point }) => incrementId === undefined || point.incrementId === incrementId);
  const newest = fitting.findLast((one) => problemOf(one) === undefined && incrementId !== undefined) ?? fitting.at(-1);
  if (newest !== undefined) return newest;
  const ids = [...new Set(inTime.map(({ point }) => point.incrementId ?? '?'))];
  throw new DriverError('notFound', `VM ${vmId} has no increment ${incrementId}`, {
    hint: `It has: ${ids.join(', ')}`,
  });
}

/**
 * The chain that restores a backup, or these disks of it, the full one first. Throws `damaged`, naming what could be restored
 * instead.
 */
export function wholeChain(
  chosen: PlacedPoint,
  placed: readonly PlacedPoint[],
  diskIds: readonly DiskId[] = [],
): PlacedPoint[] {
  const { point, broken, damaged } = chosen;
  const problem = problemOf(chosen, diskIds);
  if (problem === undefined) return linksOf(chosen);
  const ids = [...new Set(point.disks.map(({ id }) => id))];
  const sound = broken === undefined && diskIds.length === 0 ? ids.filter((id) => !damaged.has(id)) : [];
  const instead = placed
    .filter(
      (one) =>
        one.point.vmId === point.vmId && problemOf(one, diskIds) === undefined && one.point.timeMs <= point.timeMs,
    )
    .sort((a, b) => b.point.timeMs - a.point.timeMs)[0];
  throw new DriverError('damaged', `${pointText(point)} cannot be restored: ${problem}`, {
    hint: [
      ...(sound.length === 0
        ? []
        : [`Of it, disk ${sound.join(', ')} can: ${sound.map((id) => `--disk ${id}`).join(' ')}`]),
      instead === undefined
        ? 'No backup before it can be restored either'
        : `Before it, ${pointText(instead.point)} of ${timeText(instead.point.timeMs)} can: --source ${instead.point.source}`,
    ].join('. '),
  });
}

const TIME = /^(\d{4})-(\d{2})-(\d{2})(?:[T ](\d{2}):(\d{2})(?::(\d{2})(\.\d{1,3})?)?)?(Z|[+-]\d{2}:\d{2})?$/;

/**
 * The last moment of a day, a minute or a second: `2026-11-20`, `2026-11-20 05:53`, `2026-11-20T05:53:47Z`; without a zone
 * in the time of this machine. So a time as the list shows it means the backup beside it. Fractions are taken as they are.
 */
export const parseMoment: Parse<number> = (text, what, kind = 'usage') => {
  const [, year, month, day, hour, minute, second, fraction, zone] = TIME.exec(text.trim()) ?? [];
  const date = `${year}-${month}-${day}T${hour ?? '23'}:${minute ?? '59'}:${second ?? '59'}${fraction ?? '.999'}${zone ?? ''}`;
  const ms = Date.parse(date);
  // Date takes the 31st of February for the 3rd of March
  const isDay = new Date(`${year}-${month}-${day}T00:00:00Z`).getUTCDate() === Number(day);
  if (year !== undefined && Number.isFinite(ms) && isDay) return ms;
  throw new DriverError(kind, `${what} is ${JSON.stringify(text.slice(0, 40))}, which is not a time`, {
    hint: 'Write it as 2026-11-20, "2026-11-20 05:53" or 2026-11-20T05:53:47Z',
  });
};
