import type { Driver } from '../engine';
import { ZFS_ATTRIBUTES } from './attributes';
import { parseZfsConfig, readZfsConfig } from './config';
import { ZfsEngine } from './engine';
import { parseZfsUrl } from './url';

/** The datastore driver `zfs`. */
export const zfsDriver: Driver = {
  name: 'zfs',
  attributes: ZFS_ATTRIBUTES,
  readConfig: readZfsConfig,
  parseUrl: parseZfsUrl,
  open: (context) => new ZfsEngine(context),
  stallSeconds: (datastore) => parseZfsConfig(datastore).stallSeconds,
};
