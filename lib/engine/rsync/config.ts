import { parseRsyncArgs } from '../../command/rsync-args';
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

/** The attributes of an rsync datastore (contract, "Attributes of the stock drivers"), parsed once. */
export interface RsyncConfig {
  readonly server: HostName;
  readonly user: UserName;
  /** Options of rsync, none of which can do anything but say how a file is transferred. */
  readonly args: readonly string[];
  /** Merged disks are made sparse with virt-sparsify where it is installed. */
  readonly sparsify: boolean;
  /** Where chains are merged for a download, on the backup server. */
  readonly temporaryFolder: AbsolutePath;
  readonly throttle: Throttle;
  /** How long a transfer may stand still, in seconds. */
  readonly stallSeconds: number;
}

/** Reads an rsync datastore's template. Throws `config`, naming the attribute. */
export function parseRsyncConfig(datastore: Datastore): RsyncConfig {
  return readRsyncConfig(new Attributes(datastore));
}

/** Reads all attributes. Nothing here may depend on the value of one: a check of a template goes on with none. */
export function readRsyncConfig(attributes: Attributes): RsyncConfig {
  return {
    server: attributes.required('RSYNC_HOST', parseHostName),
    user: attributes.optional('RSYNC_USER', parseUserName) ?? ('oneadmin' as UserName),
    args: attributes.optional('RSYNC_ARGS', parseRsyncArgs) ?? ['-aS'],
    sparsify: attributes.yesNo('RSYNC_SPARSIFY') ?? false,
    temporaryFolder: attributes.path('RSYNC_TMP_DIR') ?? parseAbsolutePath('/var/tmp', 'the default of RSYNC_TMP_DIR'),
    throttle: {
      nice: attributes.integer('RSYNC_NICE', -19, 19),
      ionice: attributes.integer('RSYNC_IONICE', 0, 7),
      maxReadIops: attributes.integer('RSYNC_MAX_RIOPS', 1, 1_000_000_000),
      maxWriteIops: attributes.integer('RSYNC_MAX_WIOPS', 1, 1_000_000_000),
      cpuQuotaPercent: attributes.integer('RSYNC_CPU_QUOTA', 1, 100_000),
      maxMemoryMb: attributes.integer('RSYNC_MEMORY_MAX_MB', 16, 1_000_000_000),
    },
    stallSeconds: attributes.integer('RSYNC_STALL_LIMIT', 30, 86_400) ?? 600,
  };
}
