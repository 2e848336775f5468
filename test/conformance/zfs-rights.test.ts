import { conformance } from './suite';
import { zfsBed } from './zfs-bed';

/** What every right is needed for: to create, to change, to go back, to remove. */
const DUTIES = ['the first backup of a datastore', 'flatten into one'];

conformance('the ZFS engine with delegated rights', () => zfsBed('allow'), DUTIES);
