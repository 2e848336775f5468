import { grouped, type PlacedPoint } from '../engine/inventory-chains';
import type { VmId } from '../opennebula/ids';
import type { ControlContext } from './subcommand';
import type { Finding } from './verify-findings';

/** VMs of which it is not known whether all of their backups are good. */
export type Unsure = ReadonlyMap<VmId, 'unclear' | 'not checked'>;

/** What is known of all backups of a VM. */
export interface VmResult {
  readonly vm: VmId;
  readonly name: string | null;
  readonly backups: number;
  /** How many of them are damaged or gone. */
  readonly damaged: number;
  readonly result: 'ok' | 'damaged' | 'unclear' | 'not checked';
}

/** Sums up, for each VM, what was found and what could not be found out. */
export function resultsOf(placed: readonly PlacedPoint[], findings: readonly Finding[], unsure: Unsure): VmResult[] {
  return [...grouped(placed, ({ point }) => point.vmId)].map(([vm, own]) => {
    const damaged = new Set(findings.filter((one) => one.vm === vm).map((one) => one.source ?? one.increment)).size;
    const name = own.findLast(({ point }) => point.vmName !== undefined)?.point.vmName ?? null;
    const result = damaged > 0 ? 'damaged' : (unsure.get(vm) ?? 'ok');
    return { vm, name, backups: own.length, damaged, result };
  });
}

/** Prints a line for each VM, and below them what is wrong. */
export function printReport(
  vms: readonly VmResult[],
  findings: readonly Finding[],
  { screen }: Pick<ControlContext, 'screen'>,
): void {
  const tone = (text: string) => (text === 'ok' ? 'ok' : text.endsWith('damaged') ? 'failure' : 'warning');
  const count = { title: 'BACKUPS', align: 'right' as const };
  screen.table(
    [{ title: 'VM', align: 'right' }, { title: 'NAME' }, count, { title: 'RESULT', tone }],
    vms.map(({ vm, name, backups, damaged, result }) => {
      return [String(vm), name ?? '', String(backups), result === 'damaged' ? `${damaged} damaged` : result];
    }),
  );
  if (findings.length === 0) return;
  screen.print('');
  const columns = [
    { title: 'VM', align: 'right' as const },
    { title: 'INC', align: 'right' as const },
    { title: 'DISK', align: 'right' as const },
    { title: 'SOURCE' },
    { title: 'DAMAGE', wrap: true },
    { title: 'NEEDED BY', wrap: true },
  ];
  const text = (value: number | string | null): string => (value === null ? '-' : String(value));
  screen.table(
    columns,
    findings.map(({ vm, increment, disk, source, what, neededBy }) => {
      return [text(vm), text(increment), text(disk), text(source), what, neededBy.join(' ') || '-'];
    }),
  );
}
