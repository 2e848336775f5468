import { parseBackupUrl } from '../../opennebula/backup-url';
import type { Driver } from '../engine';
import { RSYNC_ATTRIBUTES } from './attributes';
import { parseRsyncConfig, readRsyncConfig } from './config';
import { RSYNC_SCHEME, RsyncEngine } from './engine';

/** The datastore driver `rsync`. */
export const rsyncDriver: Driver = {
  name: 'rsync',
  downloader: 'rsync_downloader.rb',
  attributes: RSYNC_ATTRIBUTES,
  readConfig: readRsyncConfig,
  parseUrl: (url) => parseBackupUrl(url, RSYNC_SCHEME),
  open: (context) => new RsyncEngine(context),
  stallSeconds: (datastore) => parseRsyncConfig(datastore).stallSeconds,
};
