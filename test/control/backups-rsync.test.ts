import t from 'tap';
import { tellBackups } from './backups-story';

t.test('backups of rsync', (t) => tellBackups(t, 'rsync'));
