import t from 'tap';
import { keepBackups } from './backups-kept';
import { damageRepositories } from './backups-repositories';
import { tellBackups } from './backups-told';
import { openBackups } from './backups-world';

t.test('backups of restic', async (t) => {
  const b = await openBackups('restic');
  t.teardown(() => b.stop());
  damageRepositories(t, b);
  tellBackups(t, b);
  keepBackups(t, b);
});
