import { type DriverError, oneAsciiLine } from '../errors';
import { Progress, type Terminal } from './progress';

/** What the report writes to: process.stdout and process.stderr, or a test's. */
export interface Streams {
  readonly stdout: NodeJS.WritableStream;
  readonly stderr: Terminal;
}

/**
 * The sole writer of stdout and stderr. Under oned (contract, "How an answer is read") stdout is the answer and nothing
 * else, and stderr has prefixed lines for the log and exactly one plain line for the user.
 */
export class Report {
  readonly #streams: Streams;
  readonly #verbose: boolean;
  readonly #progress: Progress;

  constructor(streams: Streams, verbose: boolean) {
    this.#streams = streams;
    this.#verbose = verbose;
    this.#progress = new Progress(streams.stderr);
    for (const stream of [streams.stdout, streams.stderr]) stream.on('error', () => {}); // nobody listens: the exit code still tells
  }

  /** Writes the answer, and tells whether it could be delivered: oned may be gone. */
  async reply(lines: readonly string[]): Promise<boolean> {
    this.#progress.stop();
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
    this.#progress.stop();
    if (error.retryHelps) this.#write('INFO', 'Running the action again may help.');
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

  /** A step of the action begins: shown on a terminal only. */
  step(purpose: string): void {
    this.#progress.step(purpose);
  }

  /** How far the step is, in bytes; `totalBytes` 0: not known. */
  transfer(doneBytes: number, totalBytes: number): void {
    this.#progress.transfer(doneBytes, totalBytes);
  }

  #write(level: 'INFO' | 'DEBUG', text: string): void {
    this.#progress.clear();
    const line = oneAsciiLine(text);
    // oned takes a number right after the prefix for the id of an object
    this.#streams.stderr.write(`${level}: ${/^[0-9]/.test(line) ? `- ${line}` : line}\n`);
  }
}
