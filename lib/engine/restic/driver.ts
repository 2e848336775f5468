import { parseBackupUrl } from '../../opennebula/backup-url';
import type { Driver } from '../engine';
import { RESTIC_ATTRIBUTES } from './attributes';
import { parseResticConfig, readResticConfig } from './config';
import { RESTIC_SCHEME, ResticEngine } from './engine';

/** The datastore driver `restic`. */
export const resticDriver: Driver = {
  name: 'restic',
  downloader: 'restic_downloader.rb',
  attributes: RESTIC_ATTRIBUTES,
  readConfig: readResticConfig,
  parseUrl: (url) => parseBackupUrl(url, RESTIC_SCHEME),
  open: (context) => new ResticEngine(context),
  stallSeconds: (datastore) => parseResticConfig(datastore).stallSeconds,
};
