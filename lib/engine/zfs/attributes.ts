import type { AttributeFact } from '../engine';
import { throttleFacts } from '../throttle-attributes';

/** The attributes of a ZFS datastore. */
export const ZFS_ATTRIBUTES: readonly AttributeFact[] = [
  { name: 'ZFS_HOST', what: 'the name or address of the backup server', required: true, isPlace: true },
  { name: 'ZFS_USER', what: 'the login on the backup server' },
  {
    ...{ name: 'ZFS_DATASET', what: 'the dataset below which the backups are, as zfs list names it' },
    ...{ required: true, isPlace: true },
  },
  { name: 'ZFS_SUDO', what: 'YES, if zfs is to be run by sudo' },
  { name: 'ZFS_COMPRESSION', what: 'the compression of new data' },
  { name: 'ZFS_QUOTA', what: 'the most that the datastore may hold' },
  { name: 'ZFS_HOLD', what: 'NO, if backups need no protection from zfs destroy' },
  { name: 'ZFS_BWLIMIT', what: 'the KiB per second of the transfer' },
  ...throttleFacts('ZFS'),
  { name: 'ZFS_STALL_LIMIT', what: 'the seconds that a program may move no data' },
];
