/** The beginning of the names of our snapshots; a source follows. zrepl's and sanoid's have others. */
export const SNAPSHOT = 'one-backup-';

/** What our snapshots carry as user properties (zfsprops(7), "User Properties"). */
const PROPERTIES = ['vm', 'increment', 'parent', 'chain', 'image', 'job', 'bytes', 'disks', 'name'] as const;
export type PropertyName = (typeof PROPERTIES)[number];
export type Properties = Readonly<Partial<Record<PropertyName, string>>>;

/** A filesystem or a snapshot, as `zfs list` knows it. */
export interface Dataset {
  /** All of its name; of a snapshot without the `@` and what follows. */
  readonly name: string;
  /** Of a snapshot, what follows the `@`. */
  readonly snapshot: string | undefined;
  /** Of ours, the source in its name. */
  readonly source: string | undefined;
  readonly usedBytes: number;
  /** Undefined for a snapshot. */
  readonly availableBytes: number | undefined;
  readonly isMounted: boolean;
  readonly mountpoint: string | undefined;
  /** Seconds since 1970. */
  readonly createdAt: number;
  /** The transaction in which it was made: snapshots of one dataset rise in it, also within a second. */
  readonly createdInTransaction: number;
  /** How many holds a snapshot has. */
  readonly holds: number;
  /** Bytes written since the newest snapshot, of a filesystem. */
  readonly writtenBytes: number;
  readonly quotaBytes: number;
  /** Nobody sees its snapshots as files. */
  readonly hidesSnapshots: boolean;
  readonly properties: Properties;
}

/** What a dry run takes for a filesystem that is there, or for a snapshot of ours of it. */
export function planned(name: string, source?: string, properties: Properties = {}): Dataset {
  const filesystem = { ...parseLine(name), isMounted: true, mountpoint: `/${name}` };
  return source === undefined
    ? filesystem
    : { ...filesystem, snapshot: SNAPSHOT + source, source, holds: 1, properties };
}

/** What `zfs list` is asked for. */
export const COLUMNS = [
  ...['name', 'used', 'available', 'mounted', 'mountpoint', 'creation', 'createtxg', 'userrefs', 'written', 'quota'],
  'snapdir',
  ...PROPERTIES.map(propertyOf),
];

/** A user property as zfs names it. */
export function propertyOf(name: PropertyName): string {
  return `one-backup:${name}`;
}

/** Reads a line of `zfs list -Hp`: values with tabs between them. */
export function parseLine(line: string): Dataset {
  const values = line.split('\t');
  const value = (column: string): string | undefined => {
    const found = values[COLUMNS.indexOf(column)];
    return found === undefined || found === '-' || found === 'none' ? undefined : found;
  };
  const number = (column: string): number => Number(value(column) ?? 0);
  const [name = '', snapshot] = (value('name') ?? '').split('@');
  const available = value('available');
  return {
    name,
    snapshot,
    source: snapshot?.startsWith(SNAPSHOT) ? snapshot.slice(SNAPSHOT.length) : undefined,
    usedBytes: number('used'),
    availableBytes: available === undefined ? undefined : Number(available),
    isMounted: value('mounted') === 'yes',
    mountpoint: value('mountpoint'),
    createdAt: number('creation'),
    createdInTransaction: number('createtxg'),
    holds: number('userrefs'),
    writtenBytes: number('written'),
    quotaBytes: number('quota'),
    hidesSnapshots: value('snapdir') === 'disabled',
    properties: Object.fromEntries(
      PROPERTIES.map((one) => [one, value(propertyOf(one))]).filter(([, text]) => text !== undefined),
    ),
  };
}
