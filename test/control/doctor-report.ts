import type { Test } from 'tap';
import type { DoctorWorld } from './doctor-world';

/** A row of the report, and what stands below it. */
export interface ReportRow {
  readonly machine: string;
  readonly state: string;
  readonly what: string;
  readonly says: string;
  readonly hint: string;
  /** Commands with their prompts, as they can be pasted. */
  readonly commands: readonly { readonly on: string; readonly asRoot: boolean; readonly text: string }[];
}

/** Reads the table as a person does. */
export function rowsOf(table: string): ReportRow[] {
  const rows: ReportRow[] = [];
  let machine = '';
  let pasted: string | undefined;
  for (const line of table.split('\n')) {
    const last = rows.at(-1) as { -readonly [K in keyof ReportRow]: ReportRow[K] };
    const row = /^ {2}(ok|warning|FAILURE|-) +([a-z][a-z.]*(?: [a-z0-9]+)?) {2,}(\S.*)$/.exec(line);
    const command = /^ {4}([A-Za-z0-9.-]*)([#$]) (.*)$/.exec(line);
    if (pasted !== undefined) {
      pasted += `\n${line}`;
      const { on, asRoot } = last.commands.at(-1) as ReportRow['commands'][number];
      last.commands = [...last.commands.slice(0, -1), { on, asRoot, text: pasted }];
      if (!line.endsWith(' \\')) pasted = undefined;
    } else if (row !== null) {
      const [, state = '', what = '', says = ''] = row;
      rows.push({ machine, state, what, says, hint: '', commands: [] });
    } else if (command !== null) {
      const [, on = '', sign, text = ''] = command;
      last.commands = [...last.commands, { on, asRoot: sign === '#', text }];
      if (text.endsWith(' \\')) pasted = text;
    } else if (/^\S/.test(line)) machine = line.replace(/,.*$/, '');
    else if (/^ {5}/.test(line)) last.says += ` ${line.trim()}`;
    else if (line !== '') last.hint += ` ${line.trim()}`;
  }
  return rows;
}

/** A link that somebody has broken. */
export interface Broken {
  readonly machine: string;
  readonly what: string;
  readonly says: RegExp;
  readonly state?: 'warning';
  /** What no command does. */
  readonly byHand?: () => void | Promise<void>;
  readonly hint?: RegExp;
}

/** Checks that doctor names a broken link in one row, and that what stands below the rows mends all. Returns the rows. */
export async function isMended(t: Test, world: DoctorWorld, broken: Broken, ...words: string[]): Promise<ReportRow[]> {
  const { machine, what, says, state = 'FAILURE' } = broken;
  const sick = await world.doctor(...words);
  t.equal(sick.code, state === 'warning' ? 0 : 1, sick.said);
  const named = sick.rows.filter((row) => row.machine === machine && row.what === what);
  t.match(named, [{ state, says }], sick.said);
  t.equal(named.length, 1);
  if (broken.hint !== undefined) t.match(named[0]?.hint, broken.hint);
  const commands = problems(sick.rows).flatMap((row) => row.commands);
  if (broken.byHand === undefined) t.not(commands.length, 0, 'there are commands');
  for (const command of commands) await world.paste(command);
  await broken.byHand?.();
  const well = await world.doctor(...words);
  t.strictSame([well.code, problems(well.rows)], [0, []], well.said);
  return sick.rows;
}

/** The rows that are not as they should be. */
export function problems(rows: readonly ReportRow[]): ReportRow[] {
  return rows.filter(({ state }) => state === 'FAILURE' || state === 'warning');
}
