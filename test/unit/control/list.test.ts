import t from 'tap';
import { list } from '../../../lib/control/list';
import type { Inventory } from '../../../lib/engine/inventory';
import { DriverError, type ErrorKind } from '../../../lib/errors';
import { datastoreXml, listing, pointOf, runOn } from './stored-world';

const EMPTY = { datastores: { 100: datastoreXml() } };

/** An inventory that cannot be listed. */
const failing = (kind: ErrorKind): Partial<Inventory> => ({
  points: () => Promise.reject(new DriverError(kind, 'no such place')),
});

t.test('a place that is not there is empty only if oned lists nothing in it', async (t) => {
  t.match(await runOn(list, ['100'], failing('notFound'), EMPTY), { code: 0, err: 'warning: no such place' });
  const gone = await runOn(list, ['100', '--json'], failing('notFound'), listing('a0'));
  t.equal(gone.code, 6);
  t.match(JSON.parse(gone.out), { failures: ['no such place'], oned: { onlyOned: [{ source: 'a0' }] } });
  const { err } = await runOn(list, ['100'], failing('notFound'), listing('a0'));
  t.match(err, 'oned lists: increment');
  t.notMatch(err, /no backups|only oned/);
  t.equal((await runOn(list, ['100', '--vm', '8'], failing('notFound'), listing('a0'))).code, 0, 'nothing of VM 8');
  t.equal((await runOn(list, ['x.ds'], failing('notFound'), listing('a0'), 'file')).code, 6);
});

t.test('what cannot be looked at is not empty', async (t) => {
  for (const kind of ['noProgram', 'failed', 'unreachable'] as const) {
    const { code, out } = await runOn(list, ['100', '--json'], failing(kind), EMPTY);
    t.equal(code, new DriverError(kind, '').exitCode);
    t.equal(out, '', kind);
  }
});

t.test('a part that cannot be listed is named, beside the others, and is no success', async (t) => {
  const stored: Partial<Inventory> = {
    points: async (_vmId, tell) => {
      tell?.(new DriverError('damaged', 'repository job_3 is damaged'));
      return [pointOf('a0', 0, 5)];
    },
  };
  const { code, out, err } = await runOn(list, ['100', '--json'], stored, listing('a0'));
  t.equal(code, 11);
  t.match(JSON.parse(out), { backups: [{ source: 'a0' }], failures: ['repository job_3 is damaged'] });
  t.match(err, 'not listed: repository job_3 is damaged');
});
