import type { Command } from './command';

/** What `zpool status` says of all that a pool holds. */
export interface PoolStatus {
  /** `scrub repaired 0B in 00:10:00 with 0 errors on ...`; undefined: there was none yet. */
  readonly scan: string | undefined;
  /** How many errors in data it knows of: those that a scrub, or somebody who read it, has met. */
  readonly errors: number;
}

/**
 * Asks after the state of a pool. Which files have errors is told to root only, and it names only one of several snapshots
 * that share a block: so the list (`-v`) is not asked for.
 */
export function poolStatus(pool: string): Command<PoolStatus> {
  return {
    argv: ['zpool', 'status', pool],
    env: { LC_ALL: 'C' },
    purpose: `ask after the state of the pool ${pool}`,
    parse: ({ stdout }) => ({
      scan: /^ *scan: (.*)$/m.exec(stdout)?.[1],
      errors: Number(/^errors: ([0-9]+) data errors/m.exec(stdout)?.[1] ?? 0),
    }),
    dryRun: { scan: undefined, errors: 0 },
  };
}
