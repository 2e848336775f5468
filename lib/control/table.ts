import type { Tone } from './screen';

/** A column of a table. */
export interface Column {
  readonly title: string;
  /** Numbers stand to the right. */
  readonly align?: 'right';
  /** What does not fit goes on in the next line; otherwise it is shortened with `...`, where a person reads it. */
  readonly wrap?: boolean;
  /** The tone of a cell, by its text. */
  readonly tone?: (text: string) => Tone | undefined;
}

const GAP = '  ';
/** No column is made narrower than this. */
const LEAST_WIDTH = 8;

/** Paints a text where there are colours. */
type Paint = (text: string, tone: Tone | 'strong') => string;

/** How a table is shown. */
export interface TableSettings {
  readonly paint?: Paint;
  /** Nothing is shortened: a program may read it. */
  readonly isWhole?: boolean;
}

/** The lines of a table, none wider than `width` unless its columns cannot be made narrower. */
export function formatTable(
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
  width: number,
  { paint = (text) => text, isWhole = false }: TableSettings = {},
): string[] {
  const cells = rows.map((row) => columns.map((_, index) => oneLine(row[index] ?? '')));
  const widths = fit(columns, cells, width, isWhole);
  const line = (texts: readonly string[], painted: (text: string, index: number) => string): string =>
    texts
      .map((text, index) => {
        const space = ' '.repeat(Math.max(0, (widths[index] ?? 0) - text.length));
        return columns[index]?.align === 'right' ? space + painted(text, index) : painted(text, index) + space;
      })
      .join(GAP)
      .trimEnd();
  const title = line(
    columns.map((column, index) => shortened(column.title, widths[index] ?? 0)),
    (text) => paint(text, 'strong'),
  );
  const body = cells.flatMap((row) =>
    folded(columns, row, widths).map((texts) =>
      line(texts, (text, index) => {
        const tone = text === '' ? undefined : columns[index]?.tone?.(row[index] ?? '');
        return tone === undefined ? text : paint(text, tone);
      }),
    ),
  );
  return [title, ...body];
}

/** The width of each column: what it needs, the widest made narrower until all fit; first those that lose nothing by it. */
function fit(
  columns: readonly Column[],
  cells: readonly (readonly string[])[],
  width: number,
  isWhole: boolean,
): number[] {
  const widths = columns.map(({ title }, index) =>
    cells.reduce((most, row) => Math.max(most, row[index]?.length ?? 0), title.length),
  );
  const available = width - GAP.length * (columns.length - 1);
  while (sum(widths) > available) {
    const canWrap = columns.some(({ wrap }, index) => wrap && (widths[index] ?? 0) > LEAST_WIDTH);
    if (isWhole && !canWrap) break;
    const most = widths.map((one, index) => (canWrap && columns[index]?.wrap !== true ? 0 : one));
    const widest = most.indexOf(Math.max(...most));
    if ((most[widest] ?? 0) <= LEAST_WIDTH) break;
    widths[widest] = (most[widest] ?? 0) - 1;
  }
  return widths;
}

/** The lines of one row: as many as its longest cell that may go on in the next line. */
function folded(columns: readonly Column[], row: readonly string[], widths: readonly number[]): string[][] {
  const parts = row.map((text, index) => {
    const width = widths[index] ?? 0;
    return columns[index]?.wrap ? foldText(text, width) : [shortened(text, width)];
  });
  const height = Math.max(...parts.map(({ length }) => length));
  return Array.from({ length: height }, (_, at) => parts.map((lines) => lines[at] ?? ''));
}

/** Breaks a text at blanks into lines no wider than that; a word that is wider is cut. */
export function foldText(text: string, width: number): string[] {
  const lines: string[] = [''];
  const most = Math.max(1, width); // a terminal can be narrower than what stands before the text
  for (let word of text.split(' ')) {
    const line = lines.at(-1) as string;
    if (line !== '' && line.length + 1 + word.length <= most) {
      lines[lines.length - 1] = `${line} ${word}`;
      continue;
    }
    if (line !== '') lines.push('');
    for (; word.length > most; word = word.slice(most)) lines.splice(-1, 0, word.slice(0, most));
    lines[lines.length - 1] = word;
  }
  return lines;
}

/** The text itself, or its beginning with `...` for the rest. */
export function shortened(text: string, width: number): string {
  return text.length <= width ? text : `${text.slice(0, Math.max(0, width - 3))}...`.slice(0, width);
}

/** ASCII without control characters: a name in a backup must neither move the cursor nor choose colours. */
export function oneLine(text: string): string {
  return text.replace(/[^\x20-\x7e]/gu, '?');
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, one) => total + one, 0);
}
