import t from 'tap';
import { tellBackups } from './backups-story';

t.test('backups of restic', (t) => tellBackups(t, 'restic'));
