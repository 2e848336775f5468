import { sizeText } from '../host/size-text';

/** Where progress is drawn: only if it is a terminal. */
export type Terminal = NodeJS.WritableStream & { readonly isTTY?: boolean; readonly columns?: number };

/** Nothing is drawn in the first second, and then no more often than this. */
const QUIET_FIRST_MS = 1_000;
const REDRAW_MS = 200;

/** One line on a terminal that says what an action is doing and how far it is. */
export class Progress {
  readonly #terminal: Terminal;
  readonly #quietUntil = Date.now() + QUIET_FIRST_MS;
  #timer: NodeJS.Timeout | undefined;
  #step = '';
  #since = 0;
  #doneBytes = 0;
  #totalBytes = 0;
  /** How many characters stand there now. They are overwritten with blanks: not every terminal knows how to erase a line. */
  #drawn = 0;

  constructor(terminal: Terminal) {
    this.#terminal = terminal;
  }

  /** A new step begins: what is said of bytes from now on belongs to it. */
  step(purpose: string): void {
    if (!this.#terminal.isTTY) return;
    this.#step = purpose;
    this.#since = Date.now();
    this.#doneBytes = 0;
    this.#totalBytes = 0;
    this.#timer ??= setInterval(() => this.#draw(), REDRAW_MS).unref();
  }

  /** How far the step is; `totalBytes` 0: not known to the caller. */
  transfer(doneBytes: number, totalBytes: number): void {
    this.#doneBytes = doneBytes;
    if (totalBytes > 0) this.#totalBytes = totalBytes;
  }

  /** Removes the line, so that something else can be written. */
  clear(): void {
    if (this.#drawn > 0) this.#terminal.write(`\r${' '.repeat(Math.min(this.#drawn, this.#width))}\r`);
    this.#drawn = 0;
  }

  /** Draws no more. */
  stop(): void {
    clearInterval(this.#timer);
    this.clear();
  }

  get #width(): number {
    return (this.#terminal.columns ?? 80) - 1;
  }

  #draw(): void {
    if (Date.now() < this.#quietUntil) return;
    const seconds = (Date.now() - this.#since) / 1000;
    const line = progressLine(this.#step, this.#doneBytes, this.#totalBytes, seconds);
    this.clear();
    const shown = line.slice(0, this.#width);
    this.#terminal.write(shown);
    this.#drawn = shown.length;
  }
}

/** Returns `store the backup: 42 %, 1.2 GiB of 2.9 GiB, 118 MiB/s, 0:14 left`; what is not known is left out. */
export function progressLine(what: string, doneBytes: number, totalBytes: number, seconds: number): string {
  if (doneBytes <= 0 && totalBytes <= 0) return `${what}, ${clock(seconds)}`;
  const rate = seconds > 0 ? doneBytes / seconds : 0;
  const speed = `${sizeText(rate)}/s`;
  if (totalBytes <= 0) return `${what}: ${sizeText(doneBytes)}, ${speed}`;
  const percent = Math.min(100, Math.floor((doneBytes / totalBytes) * 100));
  const left = rate > 0 ? `, ${clock((totalBytes - doneBytes) / rate)} left` : '';
  return `${what}: ${percent} %, ${sizeText(doneBytes)} of ${sizeText(totalBytes)}, ${speed}${left}`;
}

function clock(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const pad = (part: number): string => String(part).padStart(2, '0');
  return hours > 0 ? `${hours}:${pad(minutes)}:${pad(rest)}` : `${minutes}:${pad(rest)}`;
}
