import type { StoredPoint } from '../engine/inventory';
import type { PlacedPoint } from '../engine/inventory-chains';
import { problemOf } from '../engine/inventory-problems';

export { sizeText } from '../host/size-text';

/** `2026-11-20 05:53:47`, in the time of this machine. */
export function timeText(ms: number): string {
  const at = new Date(ms);
  const pad = (part: number): string => String(part).padStart(2, '0');
  const day = [at.getFullYear(), pad(at.getMonth() + 1), pad(at.getDate())].join('-');
  return `${day} ${[at.getHours(), at.getMinutes(), at.getSeconds()].map(pad).join(':')}`;
}

/** `0 (8192 MB), 1`. */
export function disksText({ disks }: StoredPoint): string {
  const ids = new Map(disks.map(({ id, virtualSizeMb }) => [id, virtualSizeMb]));
  return [...ids].map(([id, size]) => (size === undefined ? String(id) : `${id} (${size} MB)`)).join(', ');
}

/** `VM 7, increment 2 (9a7b66d0)`. */
export function pointText({ vmId, incrementId, source }: StoredPoint): string {
  return `VM ${vmId}, ${incrementId === undefined ? 'backup' : `increment ${incrementId}`} (${source})`;
}

/** Of a backup whose problem may be none: only a look at it would tell. */
export const NOT_LOOKED_AT = 'not looked at';

/** What is wrong with a backup, or that nothing is. */
export function healthText(placed: PlacedPoint, unlooked?: ReadonlySet<PlacedPoint>): string {
  const { point, supersededBy } = placed;
  if (unlooked?.has(placed)) return NOT_LOOKED_AT;
  const whole = supersededBy === undefined ? 'ok' : `ok, superseded by ${supersededBy.source}`;
  return problemOf(placed) ?? flawsText(point, whole);
}

/** That its disks can be restored, in the words of `whole`, and what else of it is damaged. */
export function flawsText({ defects }: StoredPoint, whole: string): string {
  return [whole, ...defects.map(({ what }) => what)].join(', but ');
}

/** A row of CSV (RFC 4180), made so that no spreadsheet takes a text for a formula. */
export function csvLine(cells: readonly (string | number | undefined)[]): string {
  return cells
    .map((cell) => {
      const text = typeof cell === 'string' && /^[=+@\t\r-]/.test(cell) ? `'${cell}` : String(cell ?? '');
      return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
    })
    .join(',');
}
