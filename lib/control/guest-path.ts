import { posix } from 'node:path';
import { DriverError } from '../errors';
import type { Parse } from '../opennebula/ids';

/** A path in a guest, absolute and without `..`: so it is never an option, nor a word that a program takes for its own. */
export const parseGuestPath: Parse<string> = (text, what, kind = 'usage') => {
  const path = posix.normalize(`/${text}`).replace(/(.)\/$/, '$1');
  if (!/[\x00-\x1f\x7f]/.test(path) && path.length <= 4096) return path;
  throw new DriverError(kind, `${what} is ${JSON.stringify(text.slice(0, 60))}, which holds a control character`, {
    hint: 'Name the folder that it is in',
  });
};
