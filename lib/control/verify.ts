import { resolve } from 'node:path';
import type { Damage, Inventory, LostPoint } from '../engine/inventory';
import type { PlacedPoint } from '../engine/inventory-chains';
import { asDriverError, type DriverError } from '../errors';
import { parseAbsolutePath, parseVmId, type VmId } from '../opennebula/ids';
import type { CommandLine } from './call';
import { usage } from './call';
import { askOned, compareWithOned, noteUncompared, type OnedBackup } from './oned-backups';
import type { OpenedDatastore } from './open-datastore';
import { inventoryOf, storedBackups } from './stored-backups';
import type { ControlContext, Subcommand } from './subcommand';
import { findingsOf } from './verify-findings';
import { printReport, resultsOf, type Unsure } from './verify-report';
import { stateFile, VerifyState } from './verify-state';

/** verify: are the backups good? */
export const verify: Subcommand = {
  name: 'verify',
  summary: 'Checks what the server holds, and names what is damaged: VM, increment and disk.',
  details:
    `Without --sample and --full, all is checked but the data itself: that every part is there and of the right size
    and form. A run that was interrupted goes on when the same command is repeated within a day.`.replace(/\s+/g, ' '),
  positionals: [{ name: 'FILE|ID', describe: 'the template of a datastore, or its id', completes: 'file' }],
  options: [
    { name: 'vm', value: 'N', describe: 'Only the backups of this VM' },
    { name: 'sample', value: 'P%', describe: 'Read that share of the data, another one each day' },
    { name: 'full', describe: 'Read all data' },
    { name: 'seed', value: 'N', describe: 'Which part --sample reads (default: the number of the day)' },
    { name: 'bwlimit', value: 'KiB', describe: 'Read no more than so many KiB per second' },
    { name: 'state', value: 'FILE', describe: 'Where it is kept how far it is', completes: 'file' },
    { name: 'restart', describe: 'Begin anew, although a run was interrupted' },
    { name: 'json', describe: 'Print one JSON document' },
  ],
  opensDatastore: true,
  examples: [
    { line: 'verify 100', meaning: 'that all is there' },
    { line: 'verify 100 --sample 5% --bwlimit 20480', meaning: 'nightly: in twenty days all was read' },
    { line: 'verify backups.ds --id 100 --vm 7 --full', meaning: 'every byte of VM 7, without oned' },
  ],
  findings: 'something is damaged or missing',
  async run(context) {
    const { line, screen, env, frontEnd } = context;
    const share = shareOf(line);
    const seed = line.integer('seed', 0, 1_000_000_000);
    const bandwidthLimitKib = line.integer('bwlimit', 1, 1_000_000_000);
    const vmId = line.optional('vm', parseVmId);
    const opened = await context.open(line.word('FILE|ID'));
    const { id, basePath } = opened.datastore;
    const given = line.text('state');
    const file =
      given === undefined ? stateFile(env, frontEnd.home, id) : parseAbsolutePath(resolve(given), '--state', 'usage');
    const question = { datastore: id, basePath, vm: vmId ?? null, share };
    const state = await VerifyState.open(file, question, { seed, restart: line.flag('restart') });
    if (state.resumed) screen.note('going on with the run that was interrupted (--restart begins anew)');
    if (share > 0 && share < 1) screen.note(`reading ${line.text('sample')} of the data, part of seed ${state.seed}`);

    const inventory = inventoryOf(opened);
    const answer = await askOned(opened, context);
    noteUncompared(answer, screen);
    // all are looked at: one whose place is not known would count as damaged
    const { placed, failures: unlisted } = await storedBackups(inventory, vmId, Number.POSITIVE_INFINITY);
    const onlyOned = 'why' in answer ? [] : await stillLost(placed, vmId, answer.backups, opened, context);
    const extent = { share, seed: state.seed, bandwidthLimitKib };
    const { damages, failures, unsure } = await checkAll(inventory, placed, extent, state, context);
    const lost = await lostOf(inventory, vmId, context).catch((error: unknown) => {
      context.signal.throwIfAborted();
      failures.push(asDriverError(error)); // what else was found is told all the same
      return [];
    });
    for (const failure of unlisted) {
      const { kind, message: what } = failure;
      // A password that does not fit, or a server that is silent, says nothing of the data.
      if (kind !== 'damaged' && kind !== 'notFound') failures.push(failure);
      else damages.push({ vmId: 0 as VmId, jobId: undefined, source: undefined, diskId: undefined, what });
    }
    const findings = findingsOf(placed, { damages, lost, onlyOned });
    const vms = resultsOf(placed, findings, unsure);
    if (line.flag('json')) {
      const told = { datastore: id, share, seed: state.seed, backups: placed.length, vms, findings };
      screen.json({ ...told, failures: failures.map(({ message }) => message) });
    } else printReport(vms, findings, context);
    for (const { message } of failures) screen.warn(`not checked: ${message}`);
    await state.end(); // failures or not: the next run is to look at all of it again, and at the next part
    const [failure] = failures;
    return findings.length > 0 ? 1 : (failure?.exitCode ?? 0);
  },
};

/** What the engine's own notes miss. */
async function lostOf(
  inventory: Inventory,
  vmId: VmId | undefined,
  { screen }: Pick<ControlContext, 'screen'>,
): Promise<readonly LostPoint[]> {
  const lost = (await inventory.lost?.(vmId)) ?? [];
  for (const { note, source } of lost) screen.note(`${source} is gone, and was noted in ${note}`);
  return lost;
}

/** What oned lists and the server does not hold; asked twice, for one may have been removed just then. */
async function stillLost(
  placed: readonly PlacedPoint[],
  vmId: VmId | undefined,
  backups: readonly OnedBackup[],
  opened: OpenedDatastore,
  context: ControlContext,
): Promise<readonly OnedBackup[]> {
  const points = placed.map(({ point }) => point);
  const wanted = backups.filter((one) => vmId === undefined || one.vmId === vmId);
  const missing = compareWithOned(points, wanted).onlyOned;
  const again = missing.length === 0 ? undefined : await askOned(opened, context);
  if (again === undefined || 'why' in again) return [];
  return missing.filter(({ source }) => again.backups.some((one) => one.source === source));
}

function shareOf(line: CommandLine): number {
  const text = line.text('sample');
  if (text !== undefined && line.flag('full')) throw usage('verify', '--sample and --full exclude each other');
  if (text === undefined) return line.flag('full') ? 1 : 0;
  const percent = /^([0-9]{1,3}(?:\.[0-9]{1,3})?)%$/.exec(text)?.[1];
  if (percent !== undefined && Number(percent) > 0 && Number(percent) <= 100) return Number(percent) / 100;
  throw usage('verify', `--sample is ${JSON.stringify(text)}, not a percentage (5%)`);
}

/** Does what is not done yet. What one part fails with does not keep the others from being done. */
async function checkAll(
  inventory: Inventory,
  placed: readonly PlacedPoint[],
  extent: Parameters<Inventory['checks']>[1],
  state: VerifyState,
  { screen, signal }: Pick<ControlContext, 'screen' | 'signal'>,
): Promise<{ damages: Damage[]; failures: DriverError[]; unsure: Unsure }> {
  const points = placed.map(({ point }) => point);
  const items = points.length === 0 ? [] : await inventory.checks(points, extent);
  const damages: Damage[] = [];
  const failures: DriverError[] = [];
  const unsure = new Map<VmId, 'unclear' | 'not checked'>();
  for (const [index, { id, about, points: own, run }] of items.entries()) {
    signal.throwIfAborted();
    try {
      let found = state.found(id);
      if (found === undefined) {
        screen.step(`check ${index + 1} of ${items.length}, ${about}`);
        found = await run();
        await state.note(id, found);
      } else screen.debug(`${about}: done before`);
      damages.push(...found);
      if (found.some(({ isUnclear }) => isUnclear)) for (const { vmId } of own) unsure.set(vmId, 'unclear');
    } catch (error) {
      signal.throwIfAborted();
      failures.push(asDriverError(error));
      for (const { vmId } of own) unsure.set(vmId, 'not checked');
    }
  }
  return { damages, failures, unsure };
}
