import type { DriverError } from '../errors';
import type { Secret } from '../secret';

/** How a program ended, and what it said. */
export interface Outcome {
  /** The exit code; 128 + signal number when a signal ended it. */
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/**
 * A run of an external program, as a value: what is executed, how its output is understood and how its failure is.
 * Building one does nothing; a Host executes it.
 */
export interface Command<T> {
  /** The program and its arguments: an array, never a line of shell. */
  readonly argv: readonly [string, ...string[]];
  /** Environment beside the host's own. */
  readonly env?: Readonly<Record<string, string>>;
  /** Environment that must be seen nowhere: it travels on stdin and never stands in an argv. */
  readonly secrets?: Readonly<Record<string, Secret>>;
  /** What the run is for, as a person would say it: `store the backup`. */
  readonly purpose: string;
  /** Turns stdout of a successful run into its result; throws when the output is not what it should be. */
  readonly parse: (outcome: Outcome) => T;
  /** Recognises a failure; undefined when it is none that the program's documentation knows. */
  readonly classify?: (outcome: Outcome, host: string) => DriverError | undefined;
  /** What a dry run goes on with in place of the result. */
  readonly dryRun: T;
  /** The signal on which the program cleans up after itself; TERM unless said otherwise. */
  readonly softSignal?: 'INT' | 'TERM';
  /** Set for a program that logs in on another machine: only these get the agent forwarded, so that a backup server never sees it. */
  readonly logsInElsewhere?: boolean;
  /** Set for a program that waits by design. */
  readonly ignoreStalls?: boolean;
  /** Exit codes beside 0 that are not failures. */
  readonly accept?: readonly number[];
}

/** For commands of which only success matters. */
export const nothing = (): undefined => undefined;
