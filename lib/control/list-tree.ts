import { grouped, linksOf, type PlacedPoint } from '../engine/inventory-chains';
import { problemOf } from '../engine/inventory-problems';
import { disksText, healthText, sizeText, timeText } from './backup-texts';
import type { Comparison } from './oned-backups';
import type { Screen } from './screen';
import type { StoredBackups } from './stored-backups';
import { oneLine } from './table';
import type { TreeNode } from './tree';

/** Each VM with its chains, each chain with its backups. */
export function treeOf(
  { placed, unlooked }: StoredBackups,
  comparison: Comparison | undefined,
  screen: Screen,
): TreeNode[] {
  const vms = grouped(placed, ({ point }) => point.vmId);
  return [...vms].map(([vmId, own]) => {
    const name = own.findLast(({ point }) => point.vmName !== undefined)?.point.vmName;
    const count = `${own.length} backup${own.length === 1 ? '' : 's'}`;
    const chains = grouped(own, (one) => linksOf(one)[0] ?? one);
    return {
      text: screen.paint(`VM ${vmId}${name === undefined ? '' : ` ${name}`}, ${count}`, 'strong'),
      children: [...chains].map(([first, members]) => ({
        text: chainTitle(first, members),
        children: members.map((one) => ({ text: lineOf(one, unlooked, comparison, screen) })),
      })),
    };
  });
}

function chainTitle({ point }: PlacedPoint, members: readonly PlacedPoint[]): string {
  const imageId = members.find((one) => one.point.imageId !== undefined)?.point.imageId;
  const bytes = members.map((one) => one.point.storedBytes);
  const total = bytes.every((size) => size !== undefined) ? bytes.reduce((sum, size) => sum + size, 0) : undefined;
  const parts = [
    ...(point.jobId === undefined ? [] : [`job ${point.jobId}`]),
    ...(imageId === undefined ? [] : [`image ${imageId}`]),
    ...(total === undefined ? [] : [sizeText(total)]),
  ];
  return `chain since ${timeText(point.timeMs)}${parts.length === 0 ? '' : ` (${parts.join(', ')})`}`;
}

function lineOf(
  placed: PlacedPoint,
  unlooked: StoredBackups['unlooked'],
  comparison: Comparison | undefined,
  screen: Screen,
): string {
  const { point } = placed;
  const kind = point.type === 'INCREMENT' ? 'inc ' : point.type === 'FULL' ? 'full' : '?   ';
  const health = healthText(placed, unlooked);
  const orphan = comparison?.onlyServer.includes(point) ? ', not in oned' : '';
  const isBroken = problemOf(placed) !== undefined && !unlooked.has(placed);
  const tone = isBroken ? 'failure' : health === 'ok' && orphan === '' ? 'ok' : 'warning';
  const facts = [String(point.incrementId ?? '?').padStart(2), kind, oneLine(point.source), timeText(point.timeMs)];
  const size = sizeText(point.storedBytes);
  const disks = `disk ${disksText(point)}`;
  return [...facts, ...(size === '' ? [] : [size]), screen.paint(`${health}${orphan}`, tone), disks].join('  ');
}
