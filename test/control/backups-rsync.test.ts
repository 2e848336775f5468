import t from 'tap';
import { keepBackups } from './backups-kept';
import { tellBackups } from './backups-told';
import { openBackups } from './backups-world';

t.test('backups of rsync', async (t) => {
  const b = await openBackups('rsync');
  t.teardown(() => b.stop());
  tellBackups(t, b);
  keepBackups(t, b);
});
