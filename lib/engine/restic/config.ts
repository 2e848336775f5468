import type { Throttle } from '../../command/throttle';
import { Attributes } from '../../opennebula/attributes';
import type { Datastore } from '../../opennebula/datastore';
import {
  type AbsolutePath,
  type HostName,
  parseAbsolutePath,
  parseHostName,
  parseUserName,
  type UserName,
} from '../../opennebula/ids';
import type { Secret } from '../../secret';
import { readThrottle } from '../throttle-attributes';

/** The attributes of a restic datastore (contract, "Attributes of the stock drivers"), parsed once. */
export interface ResticConfig {
  readonly server: HostName;
  readonly user: UserName;
  readonly password: Secret;
  readonly connections: number;
  /** Both directions, KiB/s. */
  readonly bandwidthLimitKib: number | undefined;
  readonly compression: 'auto' | 'off' | 'max';
  readonly maxThreads: number | undefined;
  /** Merged disks are made sparse with virt-sparsify where it is installed. */
  readonly sparsify: boolean;
  /** Where merging finds temporary space, on the backup server or the front-end. */
  readonly temporaryFolder: AbsolutePath;
  readonly pruneMaxUnused: string;
  readonly pruneMaxRepack: string | undefined;
  readonly throttle: Throttle;
  /** How long a held lock is waited for, in seconds. */
  readonly lockWaitSeconds: number;
  /** How long a transfer may stand still, in seconds. */
  readonly stallSeconds: number;
}

const SIZE = /^[0-9]{1,15}(\.[0-9]{1,3})?[kKmMgGtT]?$/;
const UNUSED = /^([0-9]{1,15}(\.[0-9]{1,3})?[kKmMgGtT]?|(100|[0-9]{1,2})(\.[0-9]{1,3})?%|unlimited)$/;

/** Reads a restic datastore's template. Throws `config`, naming the attribute. */
export function parseResticConfig(datastore: Datastore): ResticConfig {
  return readResticConfig(new Attributes(datastore));
}

/** Reads all attributes. Nothing here may depend on the value of one: a check of a template goes on with none. */
export function readResticConfig(attributes: Attributes): ResticConfig {
  attributes.oneOf('RESTIC_BACKEND', ['SFTP']);
  return {
    server: attributes.required('RESTIC_SFTP_SERVER', parseHostName),
    user: attributes.optional('RESTIC_SFTP_USER', parseUserName) ?? ('oneadmin' as UserName),
    password: attributes.secret('RESTIC_PASSWORD'),
    connections: attributes.integer('RESTIC_CONNECTIONS', 1, 256) ?? 5,
    bandwidthLimitKib: attributes.integer('RESTIC_BWLIMIT', 1, 1_000_000_000),
    compression: attributes.oneOf('RESTIC_COMPRESSION', ['auto', 'off', 'max']) ?? 'auto',
    maxThreads: attributes.integer('RESTIC_MAXPROC', 1, 4096),
    sparsify: attributes.yesNo('RESTIC_SPARSIFY') ?? false,
    temporaryFolder:
      attributes.path('RESTIC_TMP_DIR') ?? parseAbsolutePath('/var/tmp', 'the default of RESTIC_TMP_DIR'),
    pruneMaxUnused:
      attributes.matching('RESTIC_PRUNE_MAX_UNUSED', UNUSED, 'a size (10G), a percentage (5%) or unlimited') ?? '0',
    pruneMaxRepack: attributes.matching('RESTIC_PRUNE_MAX_REPACK', SIZE, 'a size (10G)'),
    throttle: readThrottle(attributes, 'RESTIC'),
    lockWaitSeconds: attributes.integer('RESTIC_LOCK_WAIT', 0, 86_400) ?? 600,
    stallSeconds: attributes.integer('RESTIC_STALL_LIMIT', 30, 86_400) ?? 600,
  };
}
