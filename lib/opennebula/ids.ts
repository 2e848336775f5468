import { DriverError, type ErrorKind } from '../errors';

declare const brand: unique symbol;
type Branded<T, Name extends string> = T & { readonly [brand]: Name };

/** The ids of OpenNebula's objects: whole numbers from 0 to 2^31-1, as oned stores them. */
export type VmId = Branded<number, 'VmId'>;
export type DatastoreId = Branded<number, 'DatastoreId'>;
export type ImageId = Branded<number, 'ImageId'>;
export type DiskId = Branded<number, 'DiskId'>;
export type JobId = Branded<number, 'JobId'>;
export type IncrementId = Branded<number, 'IncrementId'>;
/** A host as it is given to ssh: a name, an alias of ssh_config or an address; never an option. */
export type HostName = Branded<string, 'HostName'>;
/** A user on a host; never an option. */
export type UserName = Branded<string, 'UserName'>;
/** A normalised absolute path: no `..`, no doubled slashes, no trailing slash, no control characters. */
export type AbsolutePath = Branded<string, 'AbsolutePath'>;
/** The hypervisor's own id of a running VM. */
export type DeployId = Branded<string, 'DeployId'>;

const LARGEST_ID = 2 ** 31 - 1;

/** A failed parse: `kind` tells whether the command line, the message or the configuration is to blame. */
function refuse(kind: ErrorKind, what: string, text: string, expected: string): never {
  const shown = text.length > 60 ? `${text.slice(0, 57)}...` : text;
  throw new DriverError(kind, `${what} is ${JSON.stringify(shown)}, which is not ${expected}`);
}

/** A parser of one kind of value: takes the text, the name of its place for the error, and whom to blame. */
export type Parse<T> = (text: string, what: string, kind?: ErrorKind) => T;

function idParser<T extends number>(): Parse<T> {
  return (text, what, kind = 'message') => {
    const valid = /^(0|[1-9][0-9]{0,9})$/.test(text) && Number(text) <= LARGEST_ID;
    return valid ? (Number(text) as T) : refuse(kind, what, text, `an id (digits, at most ${LARGEST_ID})`);
  };
}

export const parseVmId = idParser<VmId>();
export const parseDatastoreId = idParser<DatastoreId>();
export const parseImageId = idParser<ImageId>();
export const parseDiskId = idParser<DiskId>();
export const parseIncrementId = idParser<IncrementId>();
const parseJobIdDigits = idParser<JobId>();

/** `-` (argv) and nothing at all (messages, URLs) mean: no backup job. Job 0 is a job. */
export function parseJobId(text: string, what: string, kind?: ErrorKind): JobId | undefined {
  return text === '-' || text === '' ? undefined : parseJobIdDigits(text, what, kind);
}

const HOST_NAME = /^[A-Za-z0-9_[:]([A-Za-z0-9._:%\]-]{0,253}[A-Za-z0-9_\]])?$/;

/** A host name, alias or address. What begins with a dash would be an option of ssh. */
export const parseHostName: Parse<HostName> = (text, what, kind = 'message') =>
  HOST_NAME.test(text) ? (text as HostName) : refuse(kind, what, text, 'a host name or address');

/** Names of hosts, separated by blanks, as BRIDGE_LIST holds them. */
export const parseHostNames: Parse<readonly HostName[]> = (text, what, kind = 'message') => {
  const words = text.split(/\s+/).filter(Boolean);
  if (words.every((word) => HOST_NAME.test(word))) return words as HostName[];
  return refuse(kind, what, text, 'a list of hosts, separated by blanks');
};

/** A login name, as POSIX and common directory services allow it. */
export const parseUserName: Parse<UserName> = (text, what, kind = 'message') =>
  /^[A-Za-z0-9_][A-Za-z0-9._@-]{0,63}$/.test(text) ? (text as UserName) : refuse(kind, what, text, 'a user name');

/** A deploy id: what the hypervisor calls the VM; a UUID or `one-<ID>`. */
export const parseDeployId: Parse<DeployId> = (text, what, kind = 'message') =>
  /^[A-Za-z0-9_][A-Za-z0-9._:-]{0,127}$/.test(text) ? (text as DeployId) : refuse(kind, what, text, 'a deploy id');

/** An absolute path; doubled slashes, which oned writes, are folded. Throws for `..` and control characters. */
export const parseAbsolutePath: Parse<AbsolutePath> = (text, what, kind = 'message') => {
  const sound = text.startsWith('/') && text.length <= 4096 && !/[\x00-\x1f\x7f]/.test(text);
  const parts = text.split('/').filter((part) => part !== '' && part !== '.');
  if (!sound || parts.includes('..')) return refuse(kind, what, text, 'an absolute path without ".."');
  return `/${parts.join('/')}` as AbsolutePath;
};

/** Appends names to a path. Each must be one plain name; anything else is a defect of the caller. */
export function joinPath(base: AbsolutePath, ...names: readonly (string | number)[]): AbsolutePath {
  for (const name of names.map(String)) {
    if (!/^[^/\x00-\x1f]+$/.test(name) || name === '..' || name === '.') {
      throw new DriverError('internal', `${JSON.stringify(name)} is not a plain file name`);
    }
  }
  return [base === '/' ? '' : base, ...names].join('/') as AbsolutePath;
}
