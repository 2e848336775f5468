/** What a run of tap counted, over all files. */
export interface Totals {
  readonly pass: number;
  readonly fail: number;
  readonly skip: number;
  readonly todo: number;
}

/**
 * Makes tap's raw report short: one line per test file, the reasons of what was skipped, and all of what failed.
 * (tap's own reporters draw for a terminal, and say nothing at all on a CI machine.)
 */
export class TapReport {
  #totals: Totals = { pass: 0, fail: 0, skip: 0, todo: 0 };
  #block: string[] = [];
  readonly #files = new Set<string>();
  readonly #print: (text: string) => void;

  constructor(print: (text: string) => void) {
    this.#print = print;
  }

  get totals(): Totals {
    return this.#totals;
  }

  /** Tells whether anything was reported of a file: when one hits its time limit, tap forgets some of those after it. */
  has(file: string): boolean {
    return this.#files.has(file);
  }

  /** Takes the next line. A file's block ends with its `ok`; after `not ok`, its details still follow. */
  line(line: string): void {
    if (line.startsWith('# Subtest: ')) this.end();
    const point = /^(?:not )?ok \d+ - (\S+)/.exec(line)?.[1];
    if (point !== undefined) this.#files.add(point);
    if (line.startsWith('# { total:')) this.#totals = readTotals(line);
    this.#block.push(line);
    if (/^ok /.test(line)) this.end();
  }

  /** Prints what is still held back. */
  end(): void {
    const block = this.#block;
    this.#block = [];
    for (const line of block.some((text) => /^(not ok|Bail out!) ?/.test(text)) ? failures(block) : passes(block)) {
      this.#print(`${line}\n`);
    }
  }
}

function readTotals(line: string): Totals {
  const count = (name: string) => Number(new RegExp(`\\b${name}: (\\d+)`).exec(line)?.[1] ?? 0);
  return { pass: count('pass'), fail: count('fail'), skip: count('skip'), todo: count('todo') };
}

/** `ok 3 - test/x.test.ts # time=89.3ms`, and indented lines of what was skipped. */
function passes(block: readonly string[]): string[] {
  const last = block.filter((line) => line.startsWith('ok '));
  const open = block.filter((line) => /^\s+ok .*# (SKIP|TODO)\b/.test(line));
  return [...last, ...open];
}

/** Everything but the passed tests, the headings that nothing is left below, and what only repeats a failure inside. */
function failures(block: readonly string[]): string[] {
  const indent = (line: string | undefined) => line?.search(/\S/) ?? 0;
  const isNoise = (line: string) =>
    /^\s*(ok \d.*|1\.\.\d.*|# time=.*|# \{ total.*|# No coverage.*|TAP version.*)?$/.test(line);
  const lines = block.filter((line) => !isNoise(line) || /# (SKIP|TODO)\b/.test(line));
  const kept: string[] = [];
  let isRepetition = false;
  for (const [index, line] of lines.entries()) {
    const [before, next] = [kept.at(-1), lines[index + 1]];
    const isBare = line.trimStart().startsWith('# Subtest: ') && indent(next) <= indent(line);
    if (line.trim() === '---' && /not ok .* # time=/.test(before ?? '') && indent(kept.at(-2)) > indent(before)) {
      isRepetition = true;
    }
    if (!isBare && !isRepetition) kept.push(line);
    if (line.trim() === '...') isRepetition = false;
  }
  return kept;
}
