import type { ErrorKind } from '../../lib/errors';

/** What `t.throws` and `t.rejects` are to find: a DriverError of that kind, whose message matches. */
export function failure(kind: ErrorKind, message: RegExp | string = /./): Error {
  return { name: 'DriverError', kind, message } as unknown as Error;
}
