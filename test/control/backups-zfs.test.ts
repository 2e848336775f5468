import t from 'tap';
import { keepBackups } from './backups-kept';
import { tellBackups } from './backups-told';
import { openBackups } from './backups-world';

t.test('backups of zfs', async (t) => {
  const b = await openBackups('zfs');
  t.teardown(() => b.stop());
  tellBackups(t, b);
  keepBackups(t, b);
});
