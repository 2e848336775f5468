import { rsyncBed } from './rsync-bed';
import { conformance } from './suite';

conformance('the rsync engine', () => rsyncBed());
