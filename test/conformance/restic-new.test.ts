import { join } from 'node:path';
import { resticBed } from './restic-bed';
import { conformance } from './suite';

/** Where `node build/setup.cjs --tools` puts a restic that is newer than the distribution's. */
const NEWER = join(__dirname, '..', '..', 'node_modules', '.cache', 'restic-new', 'restic');

/** Where the versions differ: exit codes, messages, sparse files, how they end on a signal. */
const DUTIES = [
  'the first backup of a datastore',
  'two first backups at once into one job',
  'every point in time restores',
  'what is not there is not found',
  "remove takes the image's own backups only",
  'flatten into one',
  'a cancelled backup stores nothing',
  'a cancelled flatten loses nothing',
];

conformance('the restic engine with a newer restic', () => resticBed(NEWER), DUTIES);
