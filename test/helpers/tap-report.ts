import type { FileResult } from './test-file';

/** Of a line on stderr: Node shows a packed source line whole. */
const LINE_LIMIT = 300;

/** What a test file counted, or all of them together. */
export interface Totals {
  readonly pass: number;
  readonly fail: number;
  readonly skip: number;
  readonly todo: number;
}

/** What a file counted; one that failed otherwise, or counted nothing, counts as one failure at least. */
export function totalsOf({ lines, failure }: FileResult): Totals {
  const said = lines.findLast((line) => line.startsWith('# { total:')) ?? '';
  const count = (name: string) => Number(new RegExp(`\\b${name}: (\\d+)`).exec(said)?.[1] ?? 0);
  const counted = { pass: count('pass'), fail: count('fail'), skip: count('skip'), todo: count('todo') };
  const isLost = failure !== undefined || counted.pass + counted.skip + counted.todo === 0;
  return { ...counted, fail: Math.max(counted.fail, isLost ? 1 : 0) };
}

/** Adds up. */
export function sum(all: readonly Totals[]): Totals {
  const add = (name: keyof Totals) => all.reduce((total, one) => total + one[name], 0);
  return { pass: add('pass'), fail: add('fail'), skip: add('skip'), todo: add('todo') };
}

/**
 * What is printed of a file: a line, and the reasons of what was skipped; of one that failed all that failed, and what it
 * wrote to stderr. (tap's own reporters draw for a terminal, and say nothing at all on a CI machine.)
 */
export function reportOf(result: FileResult, place: string): string[] {
  const { file, lines, complaints, failure, durationMs } = result;
  const point = `${place} - ${file} # ${(durationMs / 1000).toFixed(1)} s`;
  if (totalsOf(result).fail === 0) {
    const open = lines.filter((line) => /^\s*ok .*# (SKIP(?! filter:)|TODO)\b/.test(line));
    return [`ok ${point}`, ...open.map((line) => `    ${line}`)];
  }
  const stderr = complaints.trimEnd() === '' ? [] : complaints.trimEnd().split('\n');
  return [
    `not ok ${point}`,
    ...failures(lines).map((line) => `    ${line}`),
    ...stderr.map((line) => `    # stderr: ${line.slice(0, LINE_LIMIT)}`),
    ...(failure === undefined ? [] : [`    # ${failure}`]),
  ];
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
