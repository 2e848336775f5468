import t from 'tap';
import { list } from '../../../lib/control/list';
import { sweep } from '../../../lib/control/sweep';
import type { StoredPoint } from '../../../lib/engine/inventory';
import { DriverError } from '../../../lib/errors';
import { datastoreXml, listing, NO_ONED, pointOf, runOn } from './stored-world';

/** An inventory that notes what is removed. */
function holding(...points: StoredPoint[]) {
  const removed: string[] = [];
  const removePoints = async (gone: readonly StoredPoint[]): Promise<void> => {
    if (gone.some(({ source }) => source === 'stuck')) throw new DriverError('failed', 'it is stuck');
    removed.push(...gone.map(({ source }) => source));
  };
  return { removed, inventory: { points: async () => points, removePoints } };
}

t.test('another datastore by the same id is not the one of the file', async (t) => {
  const { inventory } = holding(pointOf('a0', 0, 5));
  for (const [what, other] of [
    ['NAME', { name: 'other' }],
    ['DS_MAD', { mad: 'restic' }],
    ['BASE_PATH', { path: '/c/100' }],
    ['RSYNC_HOST', { host: 'elsewhere' }],
  ] as const) {
    const told = { datastores: { 100: datastoreXml(other) } };
    const { err } = await runOn(list, ['x.ds'], inventory, told, 'file');
    t.match(err, `oned's datastore 100 is another one: its ${what} is`);
  }
  const same = await runOn(list, ['x.ds'], inventory, { datastores: { 100: datastoreXml() } }, 'file');
  t.match(same.err, 'only on the server: increment 0 (a0)');
});

t.test('orphans go only by an id', async (t) => {
  const { inventory, removed } = holding(pointOf('a0', 0, 5));
  const told = { datastores: { 100: datastoreXml() } };
  const refused = await runOn(sweep, ['x.ds', '--yes', '--orphans'], inventory, told, 'file');
  t.equal(refused.code, 2);
  t.match(refused.err, '--orphans is for the ID');
  t.strictSame(removed, []);
  t.equal((await runOn(sweep, ['100', '--yes', '--orphans'], inventory, told)).code, 0);
  t.strictSame(removed, ['a0']);
});

t.test('what a merged backup replaced goes only when oned does not list it', async (t) => {
  const { inventory, removed } = holding(pointOf('a0', 0, 9), pointOf('a1', 1, 8), pointOf('m1', 1, 8, ['a0', 'a1']));
  const alone = await runOn(sweep, ['100', '--yes'], inventory, NO_ONED);
  t.equal(alone.code, 0);
  t.match(alone.err, /^not compared with oned: it does not answer \(ECONNREFUSED\)$/m, 'in short');
  t.match(alone.out, 'superseded by a merged backup');
  t.match(alone.err, 'superseded backups go only when oned answers');
  t.strictSame(removed, [], 'oned may still list them');
  await runOn(sweep, ['100', '--yes'], inventory, listing('a0', 'a1'));
  t.strictSame(removed, []);
  await runOn(sweep, ['100', '--yes'], inventory, listing('m1'));
  t.strictSame(removed.sort(), ['a0', 'a1']);
});

t.test('an orphan that a young backup builds on is not old enough', async (t) => {
  const undated = { ...pointOf('c0', 0, 0), repository: 'job_1', timeMs: 0 };
  const { inventory, removed } = holding(pointOf('a0', 0, 5), pointOf('a1', 1, 0.1), undated);
  await runOn(sweep, ['100', '--yes', '--orphans'], inventory, listing());
  t.strictSame(removed, []);
});

t.test('the JSON says which orphans there are, and what was not removed', async (t) => {
  const { inventory, removed } = holding(pointOf('stuck', 0, 5), { ...pointOf('b0', 0, 5), repository: 'job_1' });
  const { out, code } = await runOn(sweep, ['100', '--yes', '--orphans', '--json'], inventory, listing());
  const { orphanBackups, failures } = JSON.parse(out);
  t.match(orphanBackups, [{ vmId: 7, incrementId: 0, source: 'b0' }, { source: 'stuck' }]);
  t.match(failures, [{ where: 'stuck', message: /it is stuck/ }]);
  t.equal(failures.length, 1);
  t.equal(code, 9);
  t.strictSame(removed, ['b0']);
});
