import { DriverError, exitCodes } from '../errors';
import { DRIVER_VERSION } from '../version';
import type { Verb } from './verb';

/** The command line of an action, read. */
export interface CommandLine {
  readonly argument: (name: string) => string;
  /** Whether a flag of the verb was given. */
  readonly flag: (name: string) => boolean;
  readonly messageFile: string | undefined;
  readonly dryRun: boolean;
  readonly verbose: boolean;
  /** The path of the script itself, which the downloader prints as the command to run. */
  readonly script: string;
}

/** A command line that asks for text: `--help` or `--version`. */
export interface TextRequest {
  readonly text: string;
}

/**
 * Reads the command line of an action. oned's own calls need no parser; yargs, which takes longer to load than some
 * actions to run, reads all others. Throws `usage`.
 */
export async function parseCommandLine(
  verb: Verb,
  script: string,
  words: readonly string[],
): Promise<CommandLine | TextRequest> {
  const plain = plainCall(verb, words);
  if (plain !== undefined) return toCommandLine(verb, script, plain.words, plain.options);
  const asksForText = words.some((word) => ['--help', '-h', '--version'].includes(word));
  if (verb.anyArguments && !asksForText) return toCommandLine(verb, script, [], {});
  const { default: yargs } = await import('yargs');
  let failure: string | undefined;
  const parser = yargs()
    .scriptName(verb.name)
    .usage(`$0 ${usageOf(verb)}\n\n${verb.summary}`)
    .parserConfiguration({
      'parse-positional-numbers': false,
      'unknown-options-as-args': false,
      'boolean-negation': false,
    })
    .option('message', {
      type: 'string',
      requiresArg: true,
      describe: 'Read the message from a file instead of stdin (XML or base64)',
    })
    .option('dry-run', { type: 'boolean', describe: 'Show each command and its host, secrets as ***; do nothing' })
    .option('verbose', { type: 'boolean', describe: 'Tell on stderr what is done' })
    .epilogue(contractOf(verb))
    .strictOptions()
    .wrap(100)
    .help(false)
    .version(false)
    .option('help', { alias: 'h', type: 'boolean', describe: 'Show this help' })
    .option('version', { type: 'boolean', describe: 'Show the version' })
    .exitProcess(false)
    .fail((message) => {
      failure = message;
    });
  const { option } = verb;
  if (option !== undefined)
    parser.option(option.flag, { type: 'string', requiresArg: true, describe: option.describe });
  for (const { name, describe } of verb.flags ?? []) parser.option(name, { type: 'boolean', describe });
  const parsed = (await parser.parseAsync(valuesAttached(words, verb))) as Record<string, unknown> & {
    _: (string | number)[];
  };
  if (failure !== undefined) throw usage(verb, failure);
  if (parsed.help) return { text: await parser.getHelp() };
  if (parsed.version) return { text: `${verb.name} ${DRIVER_VERSION}` };
  return toCommandLine(verb, script, parsed._.map(String), parsed);
}

/** What oned itself passes: as many plain words as the verb has arguments, after its option and that one's number. */
function plainCall({ positionals, option }: Verb, words: readonly string[]) {
  const [first, value = ''] = words;
  const isOption = option !== undefined && first === `-${option.flag}` && /^-?[0-9]+$/.test(value);
  const rest = isOption ? words.slice(2) : words;
  if (rest.length !== positionals.length || rest.some((word) => word.startsWith('-') && word !== '-')) return undefined;
  return { words: rest, options: isOption ? { [option.flag]: value } : {} };
}

/** `-i -1`, as oned writes it, is an option with a value, not two options. */
function valuesAttached(words: readonly string[], { option }: Verb): string[] {
  const at = option === undefined ? -1 : words.indexOf(`-${option.flag}`);
  const value = words[at + 1];
  if (at === -1 || value === undefined || !/^-[0-9]/.test(value)) return [...words];
  return [...words.slice(0, at), `-${option?.flag}=${value}`, ...words.slice(at + 2)];
}

function toCommandLine(
  verb: Verb,
  script: string,
  words: readonly string[],
  options: Record<string, unknown>,
): CommandLine {
  if (words.length !== verb.positionals.length) {
    const names = verb.positionals.map(({ name }) => name).join(' ') || 'none';
    throw usage(verb, `${words.length} arguments given, expected ${verb.positionals.length} (${names})`);
  }
  const values = new Map(verb.positionals.map(({ name }, index) => [name, words[index] as string]));
  const { option } = verb;
  if (option !== undefined) values.set(option.name, last(options[option.flag]) ?? '');
  return {
    argument: (name) => {
      const value = values.get(name);
      if (value === undefined) throw new DriverError('internal', `the action ${verb.name} has no argument ${name}`);
      return value;
    },
    flag: (name) => options[name] === true,
    messageFile: last(options.message),
    dryRun: options['dry-run'] === true,
    verbose: options.verbose === true,
    script,
  };
}

function last(value: unknown): string | undefined {
  const one: unknown = Array.isArray(value) ? value.at(-1) : value;
  return one === undefined ? undefined : String(one);
}

function usageOf({ positionals, option }: Verb): string {
  const words = positionals.map(({ name }) => name);
  return [...words, ...(option === undefined ? [] : [`[-${option.flag} ${option.name}]`]), '< MESSAGE'].join(' ');
}

function contractOf(verb: Verb): string {
  const width = Math.max(...verb.positionals.map(({ name }) => name.length), 8);
  const line = (name: string, text: string): string => `  ${name.padEnd(width)}  ${text}`;
  const codes = exitCodes().map(([code, meaning]) => line(String(code), meaning));
  return [
    ...(verb.positionals.length === 0
      ? []
      : ['Arguments, as oned passes them:', ...verb.positionals.map(({ name, describe }) => line(name, describe)), '']),
    ...(verb.example === '' ? [] : ['Example, by hand:', `  ${verb.name} ${verb.example}`, '']),
    'Contract:',
    line('stdin', verb.input),
    line('stdout', verb.output),
    line('stderr', 'on failure one plain line for the user; lines with INFO: or DEBUG: are for the log'),
    '',
    'Exit codes:',
    line('0', 'done'),
    ...codes,
  ].join('\n');
}

function usage(verb: Verb, what: string): DriverError {
  return new DriverError('usage', `${verb.name}: ${what.replace(/[.\s]+$/, '')}`, { hint: `See: ${verb.name} --help` });
}
