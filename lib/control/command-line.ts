import type { DriverError } from '../errors';
import { DRIVER_VERSION } from '../version';
import { CommandLine, usage } from './call';
import { helpOf, NAME, overview } from './help';
import { nearestName } from './nearest';
import { type Option, optionsOf, type Subcommand } from './subcommand';

/** Reads a call: the subcommand's own line, or the text that was asked for. Throws `usage`. */
export async function parseCommandLine(
  subcommands: readonly Subcommand[],
  words: readonly string[],
): Promise<CommandLine | { readonly text: string }> {
  const [first, ...others] = words;
  if (first === '--version' || first === 'version') return { text: `${NAME} ${DRIVER_VERSION}` };
  const [topic] = others.filter((word) => !isHelp(word));
  const asked = first === 'help' && topic !== undefined ? [topic, '--help'] : words;
  if (first === undefined) throw usage('', 'no subcommand is given');
  if (isHelp(first) || (first === 'help' && asked === words)) return { text: overview(subcommands) };
  const subcommand = subcommands.find(({ name }) => name === asked[0]);
  if (subcommand === undefined) throw unknown(asked[0] ?? '', subcommands);
  const end = asked.indexOf('--');
  const [own, rest] = end === -1 ? [asked.slice(1), []] : [asked.slice(1, end), asked.slice(end + 1)];
  if (own.some(isHelp)) return { text: helpOf(subcommand) };
  const parsed = await parseOptions(subcommand, own);
  if (subcommand.rest !== undefined) return new CommandLine(subcommand, parsed._, parsed, rest, words);
  return new CommandLine(subcommand, [...parsed._, ...rest], parsed, [], words);
}

function isHelp(word: string): boolean {
  return word === '--help' || word === '-h';
}

type Parsed = Record<string, unknown> & { readonly _: readonly string[] };

async function parseOptions(subcommand: Subcommand, words: readonly string[]): Promise<Parsed> {
  const { default: yargs } = await import('yargs'); // loaded late: it costs as much as all else of a short call
  const options = optionsOf(subcommand);
  let failure: string | undefined;
  const parser = yargs()
    .parserConfiguration({
      'parse-positional-numbers': false,
      'unknown-options-as-args': false,
      'boolean-negation': false,
      'dot-notation': false,
      'camel-case-expansion': false,
    })
    .strictOptions()
    .help(false)
    .version(false)
    .exitProcess(false)
    .fail((message) => {
      failure ??= message;
    });
  for (const { name, value } of options)
    parser.option(name, value === undefined ? { type: 'boolean' } : { type: 'string', requiresArg: true });
  const parsed = (await parser.parseAsync([...words])) as Parsed;
  if (failure !== undefined) throw withNearest(subcommand, failure, options);
  for (const { name, many } of options) {
    if (!many && Array.isArray(parsed[name])) throw usage(subcommand.name, `--${name} is given more than once`);
    if (parsed[name] === '') throw usage(subcommand.name, `--${name} has an empty value`);
  }
  return { ...parsed, _: parsed._.map(String) };
}

function unknown(word: string, subcommands: readonly Subcommand[]): DriverError {
  const names = subcommands.map(({ name }) => name);
  const near = nearestName(word, names);
  const what = `there is no subcommand ${JSON.stringify(word.slice(0, 40))}`;
  return near === undefined ? usage('', `${what}. They are: ${names.join(', ')}`) : usage('', what, near);
}

/** yargs names what it does not know; the nearest name that it does is ours to add. */
function withNearest({ name }: Subcommand, failure: string, options: readonly Option[]): DriverError {
  const unknownOne = /^Unknown arguments?: ([^ ,]+)/.exec(failure)?.[1];
  const near = unknownOne === undefined ? undefined : nearestName(unknownOne, namesOf(options));
  const what = unknownOne === undefined ? failure : `there is no option --${unknownOne}`;
  return near === undefined ? usage(name, what) : usage(name, what, `--${near}`);
}

function namesOf(options: readonly Option[]): string[] {
  return options.map(({ name }) => name);
}
