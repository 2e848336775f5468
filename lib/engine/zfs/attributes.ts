import type { AttributeFact } from '../engine';

const LIMIT = 'of the transfer on the host';

/** The attributes of a ZFS datastore. */
export const ZFS_ATTRIBUTES: readonly AttributeFact[] = [
  { name: 'ZFS_HOST', what: 'the name or address of the backup server', required: true },
  { name: 'ZFS_USER', what: 'the login on the backup server' },
  { name: 'ZFS_DATASET', what: 'the dataset below which the backups are, as zfs list names it', required: true },
  { name: 'ZFS_SUDO', what: 'YES, if zfs is to be run by sudo' },
  { name: 'ZFS_COMPRESSION', what: 'the compression of new data' },
  { name: 'ZFS_QUOTA', what: 'the most that the datastore may hold' },
  { name: 'ZFS_HOLD', what: 'NO, if backups need no protection from zfs destroy' },
  { name: 'ZFS_BWLIMIT', what: 'the KiB per second of the transfer' },
  { name: 'ZFS_NICE', what: `the nice level ${LIMIT}` },
  { name: 'ZFS_IONICE', what: `the level of ionice ${LIMIT}` },
  { name: 'ZFS_MAX_RIOPS', what: `the reads per second ${LIMIT}` },
  { name: 'ZFS_MAX_WIOPS', what: `the writes per second ${LIMIT}` },
  { name: 'ZFS_CPU_QUOTA', what: `the percentage of one CPU ${LIMIT}` },
  { name: 'ZFS_MEMORY_MAX_MB', what: `the memory ${LIMIT}, in MB` },
  { name: 'ZFS_STALL_LIMIT', what: 'the seconds that a program may move no data' },
];
