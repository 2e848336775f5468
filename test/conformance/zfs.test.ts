import { conformance } from './suite';
import { zfsBed } from './zfs-bed';

/** The machine is emulated, and slow: those where ZFS differs from the others. `npm run soak` runs all. */
const DUTIES = [
  'the first backup of a datastore',
  'an increment of a disk that its parent lacks is refused',
  'two first backups at once into one job',
  'every point in time restores',
  'URLs say all that a download needs',
  'what is not there is not found',
  "remove takes the image's own backups only",
  'flatten keeps every point that it is to keep',
  'a cancelled backup stores nothing',
  'nothing begins once the signal was aborted',
];

conformance('the ZFS engine', () => zfsBed(), process.env.SOAK === '1' ? [] : DUTIES);
