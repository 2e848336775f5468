import t from 'tap';
import { damageFolders } from './backups-defects';
import { keepBackups } from './backups-kept';
import { tellBackups } from './backups-told';
import { openBackups } from './backups-world';

t.test('backups of rsync', async (t) => {
  const b = await openBackups('rsync');
  t.teardown(() => b.stop());
  damageFolders(t, b);
  tellBackups(t, b);
  keepBackups(t, b);
});
