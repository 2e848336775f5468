import { exitCodes } from '../errors';
import { optionsOf, type Subcommand } from './subcommand';
import { foldText } from './table';

/** The name of the program. */
export const NAME = 'backupctl';
/** The width of all help, in characters. */
const HELP_WIDTH = 80;

/** `lint FILE... [options]` */
function usageLine({ name, positionals, rest }: Subcommand): string {
  const words = positionals.map(({ name: word, optional, many }) => {
    const shown = `${word}${many ? '...' : ''}`;
    return optional ? `[${shown}]` : shown;
  });
  return [name, ...words, '[options]', ...(rest === undefined ? [] : ['[-- WORD...]'])].join(' ');
}

/** The help of a subcommand. */
export function helpOf(subcommand: Subcommand): string {
  const { summary, positionals, examples, findings, details, rest } = subcommand;
  const words = [...positionals.map(({ name, describe }) => [name, describe] as const)];
  if (rest !== undefined) words.push(['-- WORD...', rest]);
  const options = optionsOf(subcommand).map(
    ({ name, value, describe }) => [value === undefined ? `--${name}` : `--${name} ${value}`, describe] as const,
  );
  return [
    `Usage: ${NAME} ${usageLine(subcommand)}`,
    '',
    ...foldText(summary, HELP_WIDTH),
    '',
    ...(words.length === 0 ? [] : ['Arguments:', ...columns(words), '']),
    'Options:',
    ...columns(options),
    '',
    ...(details === undefined ? [] : [...foldText(details, HELP_WIDTH), '']),
    'Examples:',
    ...examples.flatMap(({ line, meaning }) => [
      `  ${NAME} ${line}`,
      ...foldText(meaning, HELP_WIDTH - 6).map((text) => `      ${text}`),
    ]),
    '',
    'Exit codes:',
    ...columns([['0', 'done'], ...(findings === undefined ? [] : [['1', findings] as const])]),
    `  All others: ${NAME} --help`,
  ].join('\n');
}

/** The help of backupctl itself. */
export function overview(subcommands: readonly Subcommand[]): string {
  const codes = exitCodes().map(([code, meaning]) => {
    return [String(code), code === 1 ? `something is wrong (lint, ...); or ${meaning}` : meaning] as const;
  });
  return [
    `Usage: ${NAME} SUBCOMMAND [options]`,
    '',
    'For admins and operators of backup datastores of OpenNebula.',
    '',
    'Subcommands:',
    ...columns(subcommands.map(({ name, summary }) => [name, summary])),
    '',
    `${NAME} SUBCOMMAND --help says more, with examples. FILE is the template of a`,
    'datastore, ID the number that oned gave it.',
    '',
    'Exit codes:',
    ...columns([['0', 'done'], ...codes]),
  ].join('\n');
}

/** Two columns, the second one folded at the width of the help. */
function columns(rows: readonly (readonly [string, string])[]): string[] {
  const width = Math.max(...rows.map(([name]) => name.length));
  return rows.flatMap(([name, text]) => {
    const lines = foldText(text, HELP_WIDTH - width - 4);
    return lines.map((line, index) => `  ${(index === 0 ? name : '').padEnd(width)}  ${line}`);
  });
}
