import { parseBackupUrl } from '../../opennebula/backup-url';
import type { Driver } from '../engine';
import { parseRsyncConfig } from './config';
import { RSYNC_SCHEME, RsyncEngine } from './engine';

/** The datastore driver `rsync`. */
export const rsyncDriver: Driver = {
  name: 'rsync',
  parseUrl: (url) => parseBackupUrl(url, RSYNC_SCHEME),
  open: (context) => new RsyncEngine(context),
  stallSeconds: (datastore) => parseRsyncConfig(datastore).stallSeconds,
};
