import { existsSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { list } from '../../../lib/control/list';
import { show } from '../../../lib/control/show';
import { verify } from '../../../lib/control/verify';
import type { CheckItem, Inventory, StoredPoint } from '../../../lib/engine/inventory';
import { checksOf } from '../../../lib/engine/restic/checks';
import type { InventoryMeans } from '../../../lib/engine/restic/listing';
import { DriverError } from '../../../lib/errors';
import type { VmId } from '../../../lib/opennebula/ids';
import { NO_ONED, pointOf, runOn } from './stored-world';

t.test('verify: a run that came to its end is over, whatever failed', async (t) => {
  const state = join(t.testdir(), 'state.json');
  const good: CheckItem = { id: 'a', about: 'a', points: [], run: async () => [] };
  const failing = { ...good, id: 'b', run: () => Promise.reject(new DriverError('failed', 'no answer')) };
  const stored = { points: async () => [pointOf('a0', 0, 5)], checks: async () => [good, failing] };
  const { code, err } = await runOn(verify, ['100', '--state', state], stored, NO_ONED);
  t.equal(code, 9);
  t.match(err, 'not checked: no answer');
  t.notOk(existsSync(state), 'the next one begins anew');
});

t.test('what could not be looked at is no damage, and no reason to say that nothing is there', async (t) => {
  const state = join(t.testdir(), 'state.json');
  const points: Inventory['points'] = async (_vmId, failed) => {
    failed?.(new DriverError('password', 'RESTIC_PASSWORD does not open /b/8'));
    return [pointOf('a0', 0, 5)];
  };
  const verified = await runOn(verify, ['100', '--state', state], { points }, NO_ONED);
  t.equal(verified.code, new DriverError('password', '').exitCode);
  t.match(verified.err, 'not checked: RESTIC_PASSWORD does not open /b/8');
  t.notMatch(verified.out, /DAMAGE/);
  const shown = await runOn(show, ['100', 'ff'], { points }, NO_ONED);
  t.equal(shown.code, verified.code);
  t.match(shown.err, 'RESTIC_PASSWORD does not open /b/8');
  t.notMatch(shown.err, 'nothing is stored');
});

t.test('verify: a VM is only called ok when its check ended, and left nothing unclear', async (t) => {
  const all = [1, 2, 3, 4].map((id) => ({ ...pointOf(`a${id}`, 0, 5), vmId: id as VmId }));
  const damage = { vmId: 3 as VmId, jobId: undefined, source: undefined, diskId: undefined, what: 'something' };
  const results: CheckItem['run'][] = [
    async () => [],
    () => Promise.reject(new DriverError('failed', 'no answer')),
    async () => [{ ...damage, isUnclear: true }],
    async () => [damage], // that no backup needs
  ];
  const checks = async (): Promise<CheckItem[]> =>
    all.map((point, at) => ({ id: `${at}`, about: '', points: [point], run: results[at] as CheckItem['run'] }));
  const state = join(t.testdir(), 'state.json');
  const run = (...words: string[]) =>
    runOn(verify, ['100', '--state', state, ...words], { points: async () => all, checks }, NO_ONED);
  const { code, out } = await run();
  t.equal(code, 1);
  const rows = out.split('\n').map((row) => row.trim().split(/ {2,}/));
  t.same(
    [1, 2, 3, 4].map((vm) => rows.find(([first]) => first === String(vm))?.at(-1)),
    ['ok', 'not checked', 'unclear', 'ok'],
  );
  const told = JSON.parse((await run('--json')).out) as { vms: { vm: number; backups: number; result: string }[] };
  t.strictSame(
    told.vms.map(({ vm, backups, result }) => [vm, backups, result]),
    [
      [1, 1, 'ok'],
      [2, 1, 'not checked'],
      [3, 1, 'unclear'],
      [4, 1, 'ok'],
    ],
  );
});

t.test('restic: what was stored after a check is not called checked', async (t) => {
  const extent = { share: 1, seed: 0, bandwidthLimitKib: undefined };
  const idsOf = async (...points: StoredPoint[]): Promise<string[]> =>
    (await checksOf(points, extent, {} as InventoryMeans)).map(({ id }) => id);
  const [first, second] = [pointOf('a0', 0, 5), pointOf('a1', 1, 4)];
  t.strictSame(await idsOf(second, first), await idsOf(first, second));
  t.notSame(await idsOf(first), await idsOf(first, second));
});

t.test('more backups than a list looks at', async (t) => {
  // the stock driver merged each of them, which only their disks tell
  const points = Array.from({ length: 17 }, (_, at) => {
    const rest = { vmId: (100 + at) as VmId, repository: String(100 + at) };
    return [1, 2].map((id) => ({ ...pointOf(`s${at}x${id}`, id, 5 - id), ...rest }));
  }).flat();
  const inspect = async (point: StoredPoint) => {
    const type = point.incrementId === 1 ? ('FULL' as const) : point.type;
    return { point: { ...point, type }, manifest: undefined, place: '', files: [] };
  };
  const stored = { points: async () => points, inspect };
  const told = await runOn(list, ['100', '--json'], stored, NO_ONED);
  const healths = new Set(JSON.parse(told.out).backups.map(({ health }: { health: string }) => health));
  t.strictSame([...healths], ['not looked at']);
  const { out, err } = await runOn(list, ['100'], stored, NO_ONED);
  t.match(err, 'the place of 17 backups is not clear');
  t.notMatch(err, 'cannot be restored');
  t.match(out, 'not looked at');
  t.match((await runOn(list, ['100', '--csv'], stored, NO_ONED)).out, ',not looked at,');
  const state = join(t.testdir(), 'state.json');
  const verified = await runOn(verify, ['100', '--json', '--state', state], stored, NO_ONED);
  t.equal(verified.code, 0);
  t.strictSame(JSON.parse(verified.out).findings, []);
});
