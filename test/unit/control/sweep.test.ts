import t from 'tap';
import { list } from '../../../lib/control/list';
import { sweep } from '../../../lib/control/sweep';
import type { StoredPoint } from '../../../lib/engine/inventory';
import { DriverError } from '../../../lib/errors';
import { datastoreXml, pointOf, runOn } from './stored-world';

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
