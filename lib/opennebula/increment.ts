import { DriverError, type ErrorKind } from '../errors';
import { type IncrementId, parseIncrementId } from './ids';

/** One backup of a chain: its number and the engine's own name for it (restic: the snapshot's short id). */
export interface Increment {
  readonly id: IncrementId;
  /** An opaque string: never a number, never an option, never a path. */
  readonly source: string;
}

/** A chain that is not empty: the full backup first, each next one an increment on the one before. */
export type Chain = readonly [Increment, ...Increment[]];

/** Throws `message`, or that kind, unless the text can be the name of a stored backup: letters and digits, at most 64; `latest` is restic's word for any. */
export function parseSource(text: string, what: string, kind: ErrorKind = 'message'): string {
  if (/^[A-Za-z0-9]{1,64}$/.test(text) && text !== 'latest') return text;
  const shown = text.length > 40 ? `${text.slice(0, 37)}...` : text;
  throw new DriverError(kind, `${what} is ${JSON.stringify(shown)}, which is not the id of a backup`);
}

/** Returns the chain as a type that knows it is not empty, its ids rising. Throws `message`. */
export function toChain(increments: readonly Increment[], what: string): Chain {
  const [first, ...rest] = increments;
  if (first === undefined) {
    throw new DriverError('message', `${what} names no increment and no SOURCE`, {
      hint: 'The image holds no finished backup; look at it with: oneimage show ID',
    });
  }
  const rising = increments.every((one, index) => index === 0 || one.id > (increments[index - 1] as Increment).id);
  if (!rising) throw new DriverError('message', `${what} lists its increments out of order or twice`);
  return [first, ...rest];
}

/** Parses `0:4f2c8c81,1:9a7b66d0`, as it stands in a backup URL. Throws `message`. */
export function parseChain(text: string, what: string): Chain {
  const increments = text.split(',').map((pair) => {
    const [id, source, ...more] = pair.split(':');
    if (id === undefined || source === undefined || more.length > 0) {
      throw new DriverError('message', `${what} is not a list of ID:SOURCE pairs`);
    }
    return { id: parseIncrementId(id, `an id in ${what}`), source: parseSource(source, `a source in ${what}`) };
  });
  return toChain(increments, what);
}

/** Returns `0:4f2c8c81,1:9a7b66d0`. */
export function formatChain(chain: readonly Increment[]): string {
  return chain.map(({ id, source }) => `${id}:${source}`).join(',');
}

/** The newest increment of a chain. */
export function lastOf(chain: Chain): Increment {
  return chain[chain.length - 1] as Increment;
}

/** The chain up to and with that increment. Throws `notFound`, naming those that there are. */
export function chainUpTo(chain: Chain, id: IncrementId): Chain {
  const end = chain.findIndex((increment) => increment.id === id);
  if (end !== -1) return chain.slice(0, end + 1) as unknown as Chain;
  throw new DriverError('notFound', `the backup has no increment ${id}`, {
    hint: `Choose one of: ${chain.map((increment) => increment.id).join(', ')}`,
  });
}
