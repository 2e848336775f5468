import { chmodSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { Shelf } from '../../../lib/host/shelf';
import { parseAbsolutePath } from '../../../lib/opennebula/ids';
import { localHost } from '../../helpers/local-host';

t.test('the shelf gives what was put on it once, and nothing of anybody else', async (t) => {
  const folder = t.testdir();
  const path = (name = '') => parseAbsolutePath(join(folder, name), 'a path');
  const shelfOf = (key: string): Shelf => new Shelf(localHost(), true, path(), key);
  const onShelf = (): string[] => readdirSync(path()).filter((name) => name.startsWith('one-backup-shelf'));
  const shelf = shelfOf('key');
  t.notOk(await shelf.take(path('taken')));
  writeFileSync(path('one'), 'merged', { mode: 0o644 });
  await shelf.put(path('one'));
  t.notOk(await shelfOf('other key').take(path('taken')));
  t.ok(await shelfOf('key').take(path('taken')));
  t.equal(readFileSync(path('taken'), 'utf8'), 'merged');
  t.equal(statSync(path('taken')).mode & 0o777, 0o600);
  t.notOk(await shelf.take(path('again')));
  writeFileSync(path('open'), 'merged');
  await shelf.put(path('open'));
  chmodSync(path(`${onShelf()[0]}`), 0o644);
  t.notOk(await shelf.take(path('again')), 'others could have written it');
  await shelf.clear();
  t.strictSame(onShelf(), []);
});
