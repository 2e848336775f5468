import type { AttributeFact } from '../engine/engine';

const NOT_OF_BACKUPS = 'it has no meaning for a backup datastore';

/** The attributes that every backup datastore may have: oned's own, and those of all drivers. */
export const DATASTORE_ATTRIBUTES: readonly AttributeFact[] = [
  { name: 'NAME', what: 'a name of its own', required: true },
  { name: 'TYPE', what: 'BACKUP_DS', required: true },
  { name: 'DS_MAD', what: 'the name of the driver', required: true },
  { name: 'TM_MAD', what: '"-"', required: true },
  { name: 'BRIDGE_LIST', what: 'the hosts that carry the transfer' },
  { name: 'LIMIT_MB', what: 'the most that oned lets the backups take, in MB' },
  { name: 'SAFE_DIRS', what: 'the folders from which files may be registered' },
  { name: 'RESTRICTED_DIRS', what: 'the folders from which no file may be registered' },
  { name: 'DATASTORE_CAPACITY_CHECK', what: 'NO, if oned is not to look for room' },
  { name: 'LABELS', what: 'labels for the web interface' },
  { name: 'DESCRIPTION', what: 'a note' },
  { name: 'BASE_PATH', what: 'the folder of the datastore', unread: 'oned sets it by itself' },
  { name: 'DISK_TYPE', what: 'the type of its images', unread: NOT_OF_BACKUPS },
  { name: 'SHARED', what: 'whether hosts share it', unread: NOT_OF_BACKUPS },
  { name: 'COMPATIBLE_SYS_DS', what: 'the system datastores for it', unread: NOT_OF_BACKUPS },
];
