import { DriverError } from '../errors';
import type { VmId } from '../opennebula/ids';
import type { Chain, Increment } from '../opennebula/increment';

/** A backup of one VM as an engine finds it stored. */
export interface Stored {
  /** The SOURCE under which oned was told of it. */
  readonly source: string;
  /** The sources that a flatten merged into it; none, unless it was made by one. */
  readonly replaces: readonly string[];
  /** Whether a SOURCE means this one. */
  readonly isNamed: (source: string) => boolean;
}

/** One backup of a chain with what is stored of it. */
export interface Link<S extends Stored> {
  readonly increment: Increment;
  readonly stored: S;
}

/** A chain, each of its backups with what is stored of it. */
export type Links<S extends Stored> = readonly [Link<S>, ...Link<S>[]];

/** The backup that a source names, among those of the VM. Throws `damaged` if two match. */
export function findStored<S extends Stored>(all: readonly S[], source: string): S | undefined {
  const found = all.filter((one) => one.isNamed(source));
  if (found.length > 1) throw new DriverError('damaged', `the id ${source} names ${found.length} backups of one VM`);
  return found[0];
}

/** The backup, made by a flatten, that replaces exactly these increments. */
export function findMerged<S extends Stored>(all: readonly S[], merged: readonly Increment[]): S | undefined {
  const wanted = sorted(merged.map(({ source }) => source));
  return all.find(({ replaces }) => sorted(replaces) === wanted);
}

/**
 * All backups that hold, or once held, these increments: those that they name, what a flatten merged from them, and
 * what it was merged from. Several can be there at once when a flatten was killed.
 */
export function relatedTo<S extends Stored>(all: readonly S[], increments: readonly Increment[]): S[] {
  const related = new Set(increments.map(({ source }) => source));
  const isRelated = ({ isNamed, replaces }: S): boolean =>
    [...related].some(isNamed) || replaces.some((source) => related.has(source));
  for (let known = 0; known < related.size; ) {
    known = related.size;
    for (const { source, replaces } of all.filter(isRelated)) for (const one of [source, ...replaces]) related.add(one);
  }
  return all.filter(isRelated);
}

/**
 * Finds the backups of a chain among all of the VM. When oned never heard of a flatten (it was killed after it had
 * removed the old ones), its chain names some that are gone: the merged one then stands for them.
 * Throws `notFound`, naming the increment, when neither is there.
 */
export function resolveChain<S extends Stored>(all: readonly S[], chain: Chain, vmId: VmId): Links<S> {
  const found = chain.map((increment) => ({ increment, stored: findStored(all, increment.source) }));
  const missing = found.findLastIndex(({ stored }) => stored === undefined);
  for (let end = missing; end >= 0 && end < chain.length; end++) {
    const merged = findMerged(all, chain.slice(0, end + 1));
    if (merged !== undefined) {
      const last = chain[end] as Increment;
      const rest = found.slice(end + 1) as Link<S>[];
      return [{ increment: { id: last.id, source: merged.source }, stored: merged }, ...rest];
    }
  }
  if (missing === -1) return found as unknown as Links<S>;
  const gone = chain[missing] as Increment;
  throw new DriverError('notFound', `increment ${gone.id} of VM ${vmId} is gone: nothing is stored as ${gone.source}`, {
    hint: 'Restore an increment before it; later ones need it',
  });
}

/** The chain of some links, as oned writes it down. */
export function chainOf<S extends Stored>(links: Links<S>): Chain {
  return links.map(({ increment }) => increment) as unknown as Chain;
}

/** The newest backup of a chain. */
export function newestOf<S extends Stored>(links: Links<S>): Link<S> {
  return links[links.length - 1] as Link<S>;
}

function sorted(sources: readonly string[]): string {
  return [...sources].sort().join();
}
