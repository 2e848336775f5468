/**
 * Every way in which an action can fail, in one table.
 * oned reads only "zero or not"; the codes are for people, scripts and tests.
 */
export const ERROR_KINDS = {
  internal: { exitCode: 1, retryHelps: false, meaning: 'a defect of the driver' },
  unsupported: { exitCode: 1, retryHelps: false, meaning: 'the action does not exist for a backup datastore' },
  usage: { exitCode: 2, retryHelps: false, meaning: 'wrong arguments on the command line' },
  message: { exitCode: 3, retryHelps: false, meaning: 'the message on stdin is not one that the action accepts' },
  config: { exitCode: 4, retryHelps: false, meaning: 'an attribute of the datastore is missing or out of range' },
  unreachable: { exitCode: 5, retryHelps: true, meaning: 'a host cannot be reached, or refuses the login' },
  notFound: { exitCode: 6, retryHelps: false, meaning: 'the backup, disk or folder is not there' },
  noProgram: { exitCode: 6, retryHelps: false, meaning: 'a program that is needed is not there' },
  password: { exitCode: 7, retryHelps: false, meaning: 'the repository does not open with this password' },
  locked: { exitCode: 8, retryHelps: true, meaning: 'the repository stayed locked for the whole waiting time' },
  failed: { exitCode: 9, retryHelps: true, meaning: 'a program failed for a reason of its own, which is quoted' },
  noSpace: { exitCode: 10, retryHelps: false, meaning: 'a filesystem is full' },
  damaged: { exitCode: 11, retryHelps: false, meaning: 'stored data is damaged or incomplete' },
  stalled: { exitCode: 12, retryHelps: true, meaning: 'no progress for the whole stall limit' },
  oned: { exitCode: 13, retryHelps: false, meaning: 'the API of oned refused or did not answer' },
  cancelled: { exitCode: 14, retryHelps: false, meaning: 'cancelled by backup_cancel, a signal or a time limit' },
} as const;

/** A key of the table of failures. */
export type ErrorKind = keyof typeof ERROR_KINDS;

/** The exit codes in order, each with what it means. */
export function exitCodes(): [code: number, meaning: string][] {
  const meanings = new Map<number, string[]>();
  for (const { exitCode, meaning } of Object.values(ERROR_KINDS))
    meanings.set(exitCode, [...(meanings.get(exitCode) ?? []), meaning]);
  return [...meanings].map(([code, texts]) => [code, texts.join('; or ')]);
}

/** A command that mends something. */
export interface MendCommand {
  /** For a shell, as it stands. */
  readonly command: string;
  /** The machine where it is run, as the operator knows it; the front-end unless told. */
  readonly on?: string;
  /** By root, not by the user who runs the action, or as whom the machine is reached. */
  readonly asRoot?: boolean;
}

/** How something is mended. */
export interface Mend {
  readonly commands: readonly [MendCommand, ...MendCommand[]];
  /** What has to be known first: an imperative sentence, or a condition, without its full stop. */
  readonly when?: string;
}

/** What an error says beside the failure itself. */
export interface ErrorDetails {
  /** The host on which it happened, as the operator knows it. */
  readonly host?: string;
  /** What the reader can do about it: an imperative sentence without its full stop. */
  readonly hint?: string;
  /** The same as commands, where that is possible. */
  readonly mend?: Mend;
  /** The error underneath; shown with `--verbose` only. */
  readonly cause?: unknown;
}

/** The only error that an action reports to oned: one line that says what failed, where, and what to do. */
export class DriverError extends Error {
  readonly kind: ErrorKind;
  /** What failed, alone. */
  readonly what: string;
  readonly host: string | undefined;
  readonly hint: string | undefined;
  readonly mend: Mend | undefined;

  constructor(kind: ErrorKind, what: string, details: ErrorDetails = {}) {
    const where = details.host === undefined ? '' : ` (on ${details.host})`;
    const remedy = details.hint === undefined ? '' : `. ${details.hint}.`;
    super(oneAsciiLine(`${what.replace(/\.$/, '')}${where}${remedy}`), { cause: details.cause });
    this.name = 'DriverError';
    this.kind = kind;
    this.what = oneAsciiLine(what.replace(/\.$/, ''));
    this.host = details.host;
    this.hint = details.hint;
    this.mend = details.mend;
  }

  get exitCode(): number {
    return ERROR_KINDS[this.kind].exitCode;
  }

  /** Whether the same again may succeed: not before what a command mends has been mended. */
  get retryHelps(): boolean {
    return this.mend === undefined && ERROR_KINDS[this.kind].retryHelps;
  }
}

/** Returns any thrown value as a DriverError; what is not one already is a defect of ours. */
export function asDriverError(thrown: unknown): DriverError {
  if (thrown instanceof DriverError) return thrown;
  const text = thrown instanceof Error ? thrown.message : String(thrown);
  return new DriverError('internal', `unexpected failure: ${text}`, {
    hint: 'Run the action again with --verbose and report what it prints',
    cause: thrown,
  });
}

/**
 * Returns the text as oned can take it: one line, ASCII, not endless.
 * A byte outside oned's locale loses the whole answer (contract, "How an answer is read").
 */
export function oneAsciiLine(text: string, limit = 1000): string {
  const line = text
    .replace(/\s+/g, ' ')
    .replace(/[^\x20-\x7e]/gu, '?')
    .trim();
  return line.length <= limit ? line : `${line.slice(0, limit - 3)}...`;
}
