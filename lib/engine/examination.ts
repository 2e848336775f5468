import type { Login } from '../command/ssh-client';
import { asDriverError, type Mend } from '../errors';
import type { Host } from '../host/host';

/** How a link is. What could not be looked at, because something that it builds on does not hold, is neither well nor broken. */
export type CheckState = 'ok' | 'warning' | 'failure' | 'not examined';

/** What looking at a link has shown. */
export interface Check {
  readonly state: CheckState;
  /** In one line, without a full stop. */
  readonly says: string;
  /** What the reader can do, where no command does it, without its full stop. */
  readonly hint?: string | undefined;
  readonly mend?: Mend | undefined;
}

/** Something that a backup needs, on one machine or from there on. */
export interface Link {
  /** In a word or two: `programs`. */
  readonly what: string;
  /** Links of the same machine that must hold before this one can be looked at. */
  readonly after?: readonly string[];
  /** Looks at it and changes nothing. May throw DriverError: that is a failure. */
  readonly examine: () => Promise<readonly [Check, ...Check[]]>;
}

/** What a machine is for a datastore. */
export type Role = 'front-end' | 'host' | 'server';

/** A program that a machine needs. */
export interface Program {
  readonly name: string;
  /** Debian's package of it. */
  readonly package: string;
  /** How it is asked for its version, where that matters, and the oldest that will do. */
  readonly version?: { readonly args: readonly string[]; readonly least: readonly number[] };
  /** How it goes without it, if it can be done without. */
  readonly without?: { readonly state: 'ok' | 'warning'; readonly says: string };
}

/** What an engine knows of all that its backups need, beside what the backups of all engines need. */
export interface Examination {
  /** The backup server, and the login there. */
  readonly server: Login;
  /** That login must give a shell. */
  readonly needsShell: boolean;
  readonly programs: (role: Role) => readonly Program[];
  /** The links on a machine that can be reached; those that others build on come first. */
  readonly links: (role: Role, host: Host) => readonly Link[];
}

/** A link that holds. */
export function fine(says: string): Check {
  return { state: 'ok', says };
}

/** What a failure says of a link. */
export function failed(thrown: unknown, state: CheckState = 'failure'): Check {
  const { what, hint, mend } = asDriverError(thrown);
  return { state, says: what, hint: mend === undefined ? hint : mend.when, mend };
}
