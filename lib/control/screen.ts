import { Progress, type Terminal } from '../action/progress';
import { type DriverError, oneAsciiLine } from '../errors';
import { type Column, formatTable, oneLine } from './table';
import { formatTree, type TreeNode } from './tree';

/** How something is: green, yellow and red on a terminal. */
export type Tone = 'ok' | 'warning' | 'failure';

const COLOURS: Readonly<Record<Tone | 'strong', string>> = { ok: '32', warning: '33', failure: '31', strong: '1' };
const DEFAULT_WIDTH = 80;

/** What the screen is made of: process.stdout and process.stderr, or a test's. */
export interface Outlets {
  readonly stdout: Terminal;
  readonly stderr: Terminal;
}

/** What is asked of the screen by the command line and the environment. */
export interface ScreenSettings {
  readonly verbose: boolean;
  /** `--no-color` was not given, and neither NO_COLOR nor TERM=dumb stands in the environment. */
  readonly color: boolean;
}

/**
 * The sole writer of backupctl. What was asked for goes to stdout, ASCII only and plain when it is no terminal; what is
 * said beside it, and progress, go to stderr.
 */
export class Screen {
  readonly #outlets: Outlets;
  readonly #settings: ScreenSettings;
  readonly #progress: Progress;

  constructor(outlets: Outlets, settings: ScreenSettings) {
    this.#outlets = outlets;
    this.#settings = settings;
    this.#progress = new Progress(outlets.stderr);
    for (const stream of [outlets.stdout, outlets.stderr]) stream.on('error', () => {}); // `| head` has read enough
  }

  /** How many characters a line of stdout may have. */
  get width(): number {
    const { stdout } = this.#outlets;
    return (stdout.isTTY && stdout.columns) || DEFAULT_WIDTH;
  }

  /** Whether a person can be asked and shown things on stderr. */
  get isTerminal(): boolean {
    return this.#outlets.stderr.isTTY === true;
  }

  /** Whether the answer itself goes to a person. */
  get isRead(): boolean {
    return this.#outlets.stdout.isTTY === true;
  }

  get #hasColours(): boolean {
    return this.#outlets.stdout.isTTY === true && this.#settings.color;
  }

  /** A line of the answer. */
  print(line: string): void {
    this.#progress.clear();
    this.#outlets.stdout.write(`${this.#hasColours ? withColours(line) : oneLine(line)}\n`);
  }

  /** A row of CSV: in UTF-8, for it is read by programs, but without control characters. */
  csv(row: string): void {
    this.#progress.clear();
    this.#outlets.stdout.write(`${row.replace(/[\p{C}\p{Zl}\p{Zp}]/gu, '?')}\n`);
  }

  /** Lines of the answer. */
  text(lines: string): void {
    for (const line of lines.split('\n')) this.print(line);
  }

  /** Rows below the titles of their columns, no wider than the screen; in a pipe, only as long as nothing is lost by it. */
  table(columns: readonly Column[], rows: readonly (readonly string[])[]): void {
    const settings = { paint: (text: string, tone: Tone | 'strong') => this.paint(text, tone), isWhole: !this.isRead };
    for (const line of formatTable(columns, rows, this.width, settings)) this.print(line);
  }

  tree(nodes: readonly TreeNode[]): void {
    for (const line of formatTree(nodes, this.width)) this.print(line);
  }

  /** The whole answer as one JSON document. */
  json(document: unknown): void {
    // what is not ASCII goes as JSON's own escapes, so that no locale can spoil it
    const text = JSON.stringify(document, null, 2).replace(
      /[^\x20-\x7e\n]/g,
      (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
    );
    this.#progress.clear();
    this.#outlets.stdout.write(`${text}\n`);
  }

  /** Bytes of the answer as they are. */
  get output(): NodeJS.WritableStream {
    return this.#outlets.stdout;
  }

  /** The text in the colour of its meaning, where stdout has colours. */
  paint(text: string, tone: Tone | 'strong'): string {
    return this.#hasColours ? `\x1b[${COLOURS[tone]}m${oneLine(text)}\x1b[0m` : text;
  }

  /** What the user should know beside the answer. */
  note(text: string): void {
    this.#say(text, undefined);
  }

  warn(text: string): void {
    this.#say(`warning: ${text}`, 'warning');
  }

  /** The one line of a failure; what is underneath with `--verbose`. */
  fail(error: DriverError): void {
    if (this.#settings.verbose) {
      for (let cause: unknown = error; cause instanceof Error; cause = cause.cause) this.debug(cause.stack ?? '');
    }
    this.#progress.stop();
    this.#say(error.message, 'failure');
    if (error.retryHelps) this.#say('Running it again may help.', undefined);
  }

  /** Only with `--verbose`. */
  debug(text: string): void {
    if (this.#settings.verbose) for (const line of text.split('\n')) this.#say(line, undefined);
  }

  /** A step begins: shown on a terminal only, if it takes long. */
  step(purpose: string): void {
    this.#progress.step(purpose);
  }

  /** How far the step is, in bytes; `totalBytes` 0: not known. */
  transfer(doneBytes: number, totalBytes: number): void {
    this.#progress.transfer(doneBytes, totalBytes);
  }

  /** Waits until all has been written; whoever reads may have gone. */
  async flush(): Promise<void> {
    this.#progress.stop();
    const { stdout, stderr } = this.#outlets;
    await Promise.all([stdout, stderr].map((stream) => new Promise((resolve) => stream.write('', resolve))));
  }

  #say(text: string, tone: Tone | undefined): void {
    this.#progress.clear();
    const { stderr } = this.#outlets;
    const line = oneAsciiLine(text);
    const painted = tone !== undefined && stderr.isTTY && this.#settings.color;
    stderr.write(painted ? `\x1b[${COLOURS[tone]}m${line}\x1b[0m\n` : `${line}\n`);
  }
}

/** ASCII, and no control character but those of our colours; what is not ours was made plain before (`oneLine`). */
function withColours(line: string): string {
  return line.replace(/\x1b\[[0-9]{1,2}m|([^\x20-\x7e])/gu, (whole, strange) => (strange === undefined ? whole : '?'));
}
