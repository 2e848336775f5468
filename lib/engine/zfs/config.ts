import type { Throttle } from '../../command/throttle';
import { DriverError } from '../../errors';
import { Attributes } from '../../opennebula/attributes';
import type { Datastore } from '../../opennebula/datastore';
import { type HostName, type Parse, parseHostName, parseUserName, type UserName } from '../../opennebula/ids';
import { readThrottle } from '../throttle-attributes';

/** The attributes of a ZFS datastore, parsed once. */
export interface ZfsConfig {
  readonly server: HostName;
  readonly user: UserName;
  /** The dataset below which each datastore has one of its own. */
  readonly dataset: string;
  /** zfs is run by `sudo -n`. */
  readonly sudo: boolean;
  /** As zfs names it. */
  readonly compression: string;
  /** Of this datastore's dataset, in bytes; 0 for none at all, undefined where it is left as it is. */
  readonly quotaBytes: number | undefined;
  /** Each backup is held, so that a stray `zfs destroy` cannot take it. */
  readonly hold: boolean;
  /** KiB/s of the transfer. */
  readonly bandwidthLimitKib: number | undefined;
  readonly throttle: Throttle;
  /** How long a transfer may stand still, in seconds. */
  readonly stallSeconds: number;
}

const COMPRESSIONS = [
  'off',
  'lz4',
  'zstd',
  'gzip',
  ...[1, 2, 3, 4, 5, 6, 7, 8, 9].map((level) => `gzip-${level}` as const),
];
const UNITS = 'KMGTP';
/** ZFS counts bytes in 64 bits. */
const QUOTA = /^(none|[1-9][0-9]{0,6}[KMGT]|[1-9][0-9]{0,3}P)$/i;

/** What reads `ssh://USER@HOST:PATH` for oned cuts it at its first colon (contract, downloader), so that no IPv6 address can stand there. */
const parseServer: Parse<HostName> = (text, what, kind) => {
  const server = parseHostName(text, what, kind);
  if (!server.includes(':')) return server;
  throw new DriverError(kind ?? 'message', `${what} is ${text}, and an IPv6 address cannot stand in a backup URL`, {
    hint: 'Give a host name or an ssh alias',
  });
};

/** Reads a ZFS datastore's template. Throws `config`, naming the attribute. */
export function parseZfsConfig(datastore: Datastore): ZfsConfig {
  return readZfsConfig(new Attributes(datastore));
}

/** Reads all attributes. Nothing here may depend on the value of one: a check of a template goes on with none. */
export function readZfsConfig(attributes: Attributes): ZfsConfig {
  return {
    server: attributes.required('ZFS_HOST', parseServer),
    user: attributes.optional('ZFS_USER', parseUserName) ?? ('oneadmin' as UserName),
    dataset: attributes.required('ZFS_DATASET', parseDatasetName),
    sudo: attributes.yesNo('ZFS_SUDO') ?? false,
    compression: compressionOf(attributes.oneOf('ZFS_COMPRESSION', COMPRESSIONS) ?? 'lz4'),
    quotaBytes: sizeBytes(attributes.matching('ZFS_QUOTA', QUOTA, 'a size (500G) of at most 9999P, or none')),
    hold: attributes.yesNo('ZFS_HOLD') ?? true,
    bandwidthLimitKib: attributes.integer('ZFS_BWLIMIT', 1, 1_000_000_000),
    throttle: readThrottle(attributes, 'ZFS'),
    stallSeconds: attributes.integer('ZFS_STALL_LIMIT', 30, 86_400) ?? 600,
  };
}

/** A filesystem's name (zfs(8), "ZFS Naming"): components of letters, digits and a few signs; never an option, a snapshot, or blanks. */
const parseDatasetName: Parse<string> = (text, what, kind = 'message') => {
  const isName = text.length <= 200 && /^[A-Za-z][A-Za-z0-9_.:-]*(\/[A-Za-z0-9_.:-]+)*$/.test(text);
  if (isName && !text.split('/').some((part) => part === '.' || part === '..')) return text;
  throw new DriverError(kind, `${what} is ${JSON.stringify(text.slice(0, 60))}, which is not the name of a dataset`, {
    hint: 'Write it as "zfs list" does: pool/backups',
  });
};

/** Without any compression ZFS stores again what stays the same (observed); `zle` squeezes runs of zeros, and nothing else. */
function compressionOf(word: string): string {
  return word === 'off' ? 'zle' : word;
}

function sizeBytes(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (text.toLowerCase() === 'none') return 0;
  return Number(text.slice(0, -1)) * 1024 ** (UNITS.indexOf(text.slice(-1).toUpperCase()) + 1);
}
