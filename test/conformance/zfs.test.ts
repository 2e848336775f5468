import { conformance } from './suite';
import { zfsBed } from './zfs-bed';

conformance('the ZFS engine', () => zfsBed());
