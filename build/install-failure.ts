import { oneAsciiLine } from '../lib/errors';

/** How the installer ends. */
export const EXIT_CODES = {
  done: { code: 0, meaning: 'done, or nothing to do' },
  failed: { code: 1, meaning: 'failed; the line says what is left and what to do' },
  usage: { code: 2, meaning: 'wrong options' },
  refused: { code: 3, meaning: 'something is not as it has to be; nothing was changed' },
  notRunning: { code: 4, meaning: 'a script does not run; the line says what is there now' },
} as const;

/** A key of the table of exit codes. */
export type Outcome = Exclude<keyof typeof EXIT_CODES, 'done'>;

/** The only error that the installer ends with: one line of ASCII that says what to do. */
export class InstallFailure extends Error {
  readonly outcome: Outcome;

  constructor(outcome: Outcome, message: string) {
    super(oneAsciiLine(message));
    this.name = 'InstallFailure';
    this.outcome = outcome;
  }
}

/** Returns what a thrown value says, on one line. */
export function reasonOf(thrown: unknown): string {
  return oneAsciiLine(thrown instanceof Error ? thrown.message : String(thrown)).replace(/\.$/, '');
}
