import { type DriverError, ERROR_KINDS, oneAsciiLine } from '../errors';

/** What the report writes to: process.stdout and process.stderr, or a test's. */
export interface Streams {
  readonly stdout: NodeJS.WritableStream & { readonly isTTY?: boolean };
  readonly stderr: NodeJS.WritableStream & { readonly isTTY?: boolean; readonly columns?: number };
}

/** Progress is drawn no more often than this, and not in the first second. */
const REDRAW_MS = 200;
const QUIET_FIRST_MS = 1_000;

/**
 * The sole writer of stdout and stderr. Under oned (contract, "How an answer is read") stdout is the answer and nothing
 * else, and stderr has prefixed lines for the log and exactly one plain line for the user.
 */
export class Report {
  readonly #streams: Streams;
  readonly #verbose: boolean;
  readonly #started = Date.now();
  #drawnAt = 0;
  #drawn = false;

  constructor(streams: Streams, verbose: boolean) {
    this.#streams = streams;
    this.#verbose = verbose;
    for (const stream of [streams.stdout, streams.stderr]) stream.on('error', () => {}); // nobody listens: the exit code still tells
  }

  /** Writes the answer, and tells whether it could be delivered: oned may be gone. */
  async reply(lines: readonly string[]): Promise<boolean> {
    this.#clear();
    const { stdout } = this.#streams;
    // Nothing but printable ASCII: any other byte loses the whole answer. An empty write waits for what was written before.
    const text = lines.map((line) => `${line.replace(/[^\x20-\x7e]/gu, '?')}\n`).join('');
    const delivered = await new Promise<boolean>((resolve) => stdout.write(text, (error) => resolve(error == null)));
    return delivered || lines.length === 0;
  }

  /** stdout itself, for an answer that is a stream of data. */
  get output(): NodeJS.WritableStream {
    return this.#streams.stdout;
  }

  /** One plain line for the user; more for the log with `--verbose`. */
  fail(error: DriverError): void {
    if (this.#verbose) {
      for (let cause: unknown = error; cause instanceof Error; cause = cause.cause) {
        for (const line of (cause.stack ?? cause.message).split('\n')) this.#write('DEBUG', line);
      }
    }
    this.#clear();
    if (ERROR_KINDS[error.kind].retryHelps) this.#write('INFO', 'Running the action again may help.');
    this.#streams.stderr.write(`${error.message}\n`);
  }

  /** A line of the plan that `--dry-run` shows. */
  plan(line: string): void {
    this.#streams.stdout.write(`${line.replace(/[^\x20-\x7e]/gu, '?')}\n`);
  }

  /** What an operator who reads the log should know. */
  log(text: string): void {
    this.#write('INFO', text);
  }

  /** Only with `--verbose`. */
  debug(text: string): void {
    if (this.#verbose) this.#write('DEBUG', text);
  }

  /** Shows how far a transfer is, on a terminal only; `totalBytes` 0: unknown. */
  progress(what: string, doneBytes: number, totalBytes: number): void {
    const { stderr } = this.#streams;
    const now = Date.now();
    if (!stderr.isTTY || now - this.#started < QUIET_FIRST_MS || now - this.#drawnAt < REDRAW_MS) return;
    this.#drawnAt = now;
    this.#drawn = true;
    const line = progressLine(what, doneBytes, totalBytes, (now - this.#started) / 1000);
    stderr.write(`\r\x1b[K${line.slice(0, (stderr.columns ?? 80) - 1)}`);
  }

  #write(level: 'INFO' | 'DEBUG', text: string): void {
    this.#clear();
    const line = oneAsciiLine(text);
    // oned takes a number right after the prefix for the id of an object
    this.#streams.stderr.write(`${level}: ${/^[0-9]/.test(line) ? `- ${line}` : line}\n`);
  }

  #clear(): void {
    if (this.#drawn) this.#streams.stderr.write('\r\x1b[K');
    this.#drawn = false;
  }
}

/** Returns `backup: 42 %, 1.2 GiB of 2.9 GiB, 118 MiB/s, 0:14 left`; what is not known is left out. */
export function progressLine(what: string, doneBytes: number, totalBytes: number, seconds: number): string {
  const rate = seconds > 0 ? doneBytes / seconds : 0;
  const speed = `${size(rate)}/s`;
  if (totalBytes <= 0) return `${what}: ${size(doneBytes)}, ${speed}`;
  const percent = Math.min(100, Math.floor((doneBytes / totalBytes) * 100));
  const left = rate > 0 ? `, ${clock((totalBytes - doneBytes) / rate)} left` : '';
  return `${what}: ${percent} %, ${size(doneBytes)} of ${size(totalBytes)}, ${speed}${left}`;
}

function size(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}

function clock(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const pad = (part: number): string => String(part).padStart(2, '0');
  return hours > 0 ? `${hours}:${pad(minutes)}:${pad(rest)}` : `${minutes}:${pad(rest)}`;
}
