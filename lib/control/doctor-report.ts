import type { Check, CheckState } from '../engine/examination';
import type { MendCommand } from '../errors';
import type { ExaminedMachine } from './examine-links';
import type { Screen, Tone } from './screen';
import { foldText } from './table';

const SHOWN: Readonly<Record<CheckState, { readonly word: string; readonly tone?: Tone }>> = {
  ok: { word: 'ok', tone: 'ok' },
  warning: { word: 'warning', tone: 'warning' },
  failure: { word: 'FAILURE', tone: 'failure' },
  'not examined': { word: '-' },
};
const STATE_WIDTH = 7;
const INDENT = '  ';

/** A check with the link and the machine that it is of. */
export interface Row extends Check {
  readonly where: ExaminedMachine;
  readonly what: string;
}

/** All checks, in order. */
export function rowsOf(machines: readonly ExaminedMachine[]): Row[] {
  return machines.flatMap((where) =>
    where.links.flatMap(({ what, checks }) => checks.map((check) => ({ ...check, where, what }))),
  );
}

/** How many there are of each. */
function count(rows: readonly Row[]): Readonly<Record<CheckState, number>> {
  const of = (state: CheckState): number => rows.filter((row) => row.state === state).length;
  return { ok: of('ok'), warning: of('warning'), failure: of('failure'), 'not examined': of('not examined') };
}

/** Prints a table for each machine, what mends a row below it, and the sum of all. */
export function printReport(rows: readonly Row[], shown: (row: Row) => boolean, screen: Screen): void {
  const width = Math.max(...rows.map(({ what }) => what.length));
  let last: ExaminedMachine | undefined;
  for (const row of rows.filter(shown)) {
    if (row.where !== last) {
      if (last !== undefined) screen.print('');
      screen.print(screen.paint(titleOf(row.where), 'strong'));
      last = row.where;
    }
    const { word, tone } = SHOWN[row.state];
    const [first = '', ...others] = foldText(row.says, screen.width - STATE_WIDTH - width - 3 * INDENT.length);
    const state = tone === undefined ? word : screen.paint(word, tone);
    screen.print(
      `${INDENT}${state}${' '.repeat(STATE_WIDTH - word.length)}${INDENT}${row.what.padEnd(width)}${INDENT}${first}`,
    );
    for (const line of others) screen.print(`${' '.repeat(STATE_WIDTH + width + 3 * INDENT.length)}${line}`);
    for (const line of remedy(row, screen.width - 2 * INDENT.length)) screen.print(`${INDENT}${INDENT}${line}`);
  }
  const { ok, warning, failure, 'not examined': not } = count(rows);
  if (last !== undefined) screen.print('');
  screen.print(
    `${number(failure, 'failure')}, ${number(warning, 'warning')}, ${ok} ok${not === 0 ? '' : `, ${not} not examined`}`,
  );
}

/** What mends a row, in lines: a hint, and commands, each after the prompt of the shell that it is for. */
export function remedy({ hint, mend }: Check, width: number): string[] {
  const words = hint === undefined ? [] : foldText(`${hint}.`, width);
  return [...words, ...(mend?.commands ?? []).flatMap((one) => foldCommand(`${promptOf(one)} `, one.command, width))];
}

/** `$` and `#` are shells of the front-end, `host1$` and `host1#` those of another machine; `#` is root's. */
function promptOf({ on = '', asRoot = false }: MendCommand): string {
  return `${on}${asRoot ? '#' : '$'}`;
}

/** Breaks a command at blanks outside of quotes, with backslashes, so that it can be pasted as it stands. */
export function foldCommand(prompt: string, command: string, width: number): string[] {
  const words = command.match(/(?:'[^']*'|"(?:[^"\\]|\\.)*"|\\.|[^\s'"\\])+/g) ?? [command];
  const lines: string[] = [];
  let line = prompt + (words.shift() ?? '');
  for (const [index, word] of words.entries()) {
    const reserve = index === words.length - 1 ? 0 : 2; // for the backslash
    if (line.length + 1 + word.length + reserve <= width) line += ` ${word}`;
    else {
      lines.push(`${line} \\`);
      line = `${INDENT}${INDENT}${word}`;
    }
  }
  return [...lines, line];
}

/** What `--json` prints. */
export function reportJson(machines: readonly ExaminedMachine[]): unknown {
  const { ok, warning, failure, 'not examined': notExamined } = count(rowsOf(machines));
  return {
    ...{ failures: failure, warnings: warning, ok, notExamined },
    machines: machines.map(({ name, role, links }) => ({
      ...{ name, role },
      checks: links.flatMap(({ what, checks }) =>
        checks.map(({ state, says, hint = null, mend }) => ({
          ...{ what, state, says, hint },
          mend: (mend?.commands ?? []).map(({ command, on = 'front-end', asRoot = false }) => ({
            on,
            asRoot,
            command,
          })),
        })),
      ),
    })),
  };
}

function titleOf({ name, role }: ExaminedMachine): string {
  return role === 'front-end' ? 'the front-end' : `${name}, ${role === 'host' ? 'a host' : 'the backup server'}`;
}

function number(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? '' : 's'}`;
}
