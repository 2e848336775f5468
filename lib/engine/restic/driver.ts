import { parseBackupUrl } from '../../opennebula/backup-url';
import type { Driver } from '../engine';
import { parseResticConfig } from './config';
import { RESTIC_SCHEME, ResticEngine } from './engine';

/** The datastore driver `restic`. */
export const resticDriver: Driver = {
  name: 'restic',
  parseUrl: (url) => parseBackupUrl(url, RESTIC_SCHEME),
  open: (context) => new ResticEngine(context),
  stallSeconds: (datastore) => parseResticConfig(datastore).stallSeconds,
};
