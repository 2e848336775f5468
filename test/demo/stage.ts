import { type ChildProcess, spawn } from 'node:child_process';

/** What a command did. */
export interface Done {
  readonly code: number;
  readonly stdout: string;
  /** stdout and stderr, as they came. */
  readonly all: string;
  readonly seconds: number;
}

/** A line of the closing table. */
interface Row {
  readonly what: string;
  readonly seconds: number;
  readonly result: string;
}

/** Thrown when something is not as it should be. */
export class Surprise extends Error {}

/**
 * Shows what is done and does it: a command is run by bash exactly as it is printed. Output is plain ASCII and fits the
 * width of the terminal, or 80 columns where there is none.
 */
export class Stage {
  readonly #env: NodeJS.ProcessEnv;
  readonly #folder: string;
  readonly #signal: AbortSignal;
  readonly #width: number;
  readonly #rows: Row[] = [];
  #step = 0;

  constructor(env: NodeJS.ProcessEnv, folder: string, signal: AbortSignal) {
    this.#env = env;
    this.#folder = folder;
    this.#signal = signal;
    this.#width = Math.max(40, Math.min(process.stdout.columns ?? 80, 100)) - 1;
  }

  /** The heading of a step. */
  step(title: string): void {
    this.#step += 1;
    const line = `${this.#step}. ${title} `;
    this.#write(`\n${line}${'-'.repeat(Math.max(3, this.#width - line.length))}\n`);
  }

  /** A sentence or two. */
  say(text: string): void {
    for (const part of text.split('\n')) for (const line of fold(part, this.#width)) this.#write(`${line}\n`);
  }

  /** A line to be copied as it is, however long. */
  copyable(line: string): void {
    this.#write(`    ${line}\n`);
  }

  /** Lines of output. */
  quote(text: string): void {
    for (const line of text.split('\n')) for (const part of fold(line, this.#width - 4)) this.#write(`  | ${part}\n`);
  }

  /** Prints a command line, runs it, prints what came back. Throws Surprise unless it ends with the expected code. */
  async run(line: string, expected = 0): Promise<Done> {
    this.#signal.throwIfAborted();
    for (const part of foldCommand(line, this.#width - 4)) this.#write(`    ${part}\n`);
    const started = Date.now();
    const child = spawn('bash', ['-c', line], {
      cwd: this.#folder,
      env: this.#env,
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const stop = (): void => endGroup(child);
    this.#signal.addEventListener('abort', stop, { once: true });
    const { code, stdout, all } = await outcome(child);
    this.#signal.removeEventListener('abort', stop);
    this.#signal.throwIfAborted();
    const seconds = (Date.now() - started) / 1000;
    if (all.trim() !== '') this.quote(all.trimEnd());
    this.#write(`  = exit code ${code}, ${seconds.toFixed(1)} s\n`);
    if (code !== expected) throw new Surprise(`the exit code is ${code}, and should be ${expected}`);
    return { code, stdout, all, seconds };
  }

  /** Says that something was checked. Throws Surprise when it is not so. */
  check(isSo: boolean, what: string): void {
    if (!isSo) throw new Surprise(`not so: ${what}`);
    for (const [index, part] of fold(what, this.#width - 7).entries())
      this.#write(`${index === 0 ? '  ok:  ' : '       '}${part}\n`);
  }

  /** Notes a line for the closing table. */
  note(what: string, seconds: number, result: string): void {
    this.#rows.push({ what, seconds, result });
  }

  /** The closing table. */
  table(): void {
    const width = Math.max(...this.#rows.map(({ what }) => what.length), 4);
    const row = (what: string, time: string, result: string): string =>
      `${what.padEnd(width)}  ${time.padStart(7)}  ${result}`.trimEnd();
    this.#write(`\n${row('what', 'time', 'result')}\n${'-'.repeat(this.#width)}\n`);
    for (const { what, seconds, result } of this.#rows) {
      const [first = '', ...more] = fold(result, Math.max(16, this.#width - width - 11));
      this.#write(`${row(what, `${seconds.toFixed(1)} s`, first)}\n`);
      for (const part of more) this.#write(`${row('', '', part)}\n`);
    }
  }

  #write(text: string): void {
    process.stdout.write(text.replaceAll('\t', ' ').replace(/[^\x20-\x7e\n]/gu, '?'));
  }
}

function outcome(child: ChildProcess): Promise<{ code: number; stdout: string; all: string }> {
  return new Promise((resolve, reject) => {
    let stdout = '';
    let all = '';
    child.stdout?.on('data', (chunk: Buffer) => {
      stdout += chunk.toString('latin1');
      all += chunk.toString('latin1');
    });
    child.stderr?.on('data', (chunk: Buffer) => {
      all += chunk.toString('latin1');
    });
    child.once('error', reject);
    child.once('close', (code) => resolve({ code: code ?? 128, stdout, all }));
  });
}

/** Ends a command with all that it started: the actions clean up after themselves. */
function endGroup({ pid }: ChildProcess): void {
  try {
    if (pid !== undefined) process.kill(-pid, 'SIGTERM');
  } catch {
    // it has ended by itself
  }
}

/** Breaks text at blanks, and words that are longer than a line where they must be. */
function fold(text: string, width: number): string[] {
  const words = text.split(' ').flatMap((word) => word.match(new RegExp(`.{1,${width}}`, 'g')) ?? ['']);
  const lines = [words.shift() ?? ''];
  for (const word of words) {
    const last = lines.length - 1;
    if (`${lines[last]} ${word}`.length <= width) lines[last] += ` ${word}`;
    else lines.push(word);
  }
  return lines;
}

/** Breaks a command at blanks, with the backslashes that make it one command again. */
function foldCommand(line: string, width: number): string[] {
  return line.split('\n').flatMap((one) => {
    const parts: string[] = [];
    let rest = one;
    for (;;) {
      const indent = parts.length === 0 ? '' : '  ';
      const at = rest.length + indent.length <= width ? -1 : breakBefore(rest, width - 2 - indent.length);
      if (at === -1) return [...parts, indent + rest];
      parts.push(`${indent}${rest.slice(0, at)} \\`);
      rest = rest.slice(at + 1);
    }
  });
}

/** The last blank outside of quotes before a column, or else the first one after it; -1 for none. */
function breakBefore(line: string, column: number): number {
  let quote = '';
  let found = -1;
  for (const [index, character] of [...line].entries()) {
    if (quote === '' && character === ' ') {
      if (index > column) return found === -1 ? index : found;
      found = index;
    } else if (quote === character) quote = '';
    else if (quote === '' && (character === "'" || character === '"')) quote = character;
  }
  return found;
}
