import type { Check, Link, Role } from '../engine/examination';
import { failed } from '../engine/examination';

/** A link that was looked at, or that could not be. */
export interface ExaminedLink {
  readonly what: string;
  readonly checks: readonly [Check, ...Check[]];
}

/** All links of one machine. */
export interface ExaminedMachine {
  /** As the operator knows it. */
  readonly name: string;
  readonly role: Role;
  readonly links: readonly ExaminedLink[];
}

/**
 * Looks at the links of one machine, one after the other: sshd lets a connection run only so many programs at a time.
 * What fails is no reason to leave out the rest, but for what builds on it.
 */
export async function examineLinks(links: readonly Link[], signal: AbortSignal): Promise<ExaminedLink[]> {
  const done: ExaminedLink[] = [];
  for (const { what, after = [], examine } of links) {
    signal.throwIfAborted();
    const broken = after.find((name) => !done.some((one) => one.what === name && holds(one)));
    done.push({
      what,
      checks: broken === undefined ? await looked(examine) : [notExamined(`${broken} must work first`)],
    });
  }
  signal.throwIfAborted();
  return done;
}

/** Does something for each of many, no more than so many at a time. */
export async function forEachOf<T, R>(all: readonly T[], atATime: number, act: (one: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  const queue = [...all.entries()];
  const worker = async (): Promise<void> => {
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) results[next[0]] = await act(next[1]);
  };
  await Promise.all(Array.from({ length: atATime }, worker));
  return results;
}

/** For what nobody could look at. */
export function notExamined(says: string): Check {
  return { state: 'not examined', says };
}

function holds({ checks }: ExaminedLink): boolean {
  return checks.every(({ state }) => state === 'ok' || state === 'warning');
}

async function looked(examine: Link['examine']): Promise<ExaminedLink['checks']> {
  return examine().catch((error): [Check] => [failed(error)]);
}
