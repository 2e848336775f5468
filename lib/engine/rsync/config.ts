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
import { readThrottle } from '../throttle-attributes';

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
    throttle: readThrottle(attributes, 'RSYNC'),
    stallSeconds: attributes.integer('RSYNC_STALL_LIMIT', 30, 86_400) ?? 600,
  };
}
