import { DriverError } from '../errors';
import type { Parse } from '../opennebula/ids';
import type { Subcommand } from './subcommand';

/** A call, read. */
export class CommandLine {
  readonly subcommand: Subcommand;
  /** All words of the call, as they were typed, without the program's name. */
  readonly typed: readonly string[];
  /** The words after `--`. */
  readonly rest: readonly string[];
  readonly #words: ReadonlyMap<string, readonly string[]>;
  readonly #values: Readonly<Record<string, unknown>>;

  constructor(
    subcommand: Subcommand,
    words: readonly string[],
    values: Readonly<Record<string, unknown>>,
    rest: readonly string[],
    typed: readonly string[],
  ) {
    this.subcommand = subcommand;
    this.typed = typed;
    this.#words = placed(subcommand, words);
    this.#values = values;
    this.rest = rest;
  }

  /** The word in a place that is never empty. */
  word(name: string): string {
    const [word] = this.words(name);
    if (word === undefined) throw new DriverError('internal', `${this.subcommand.name} has no word ${name}`);
    return word;
  }

  /** The words in a place: none, one or many. */
  words(name: string): readonly string[] {
    return this.#words.get(name) ?? [];
  }

  flag(name: string): boolean {
    return this.#values[name] === true;
  }

  /** The value of an option, the last one if there are several; undefined when it is not given. */
  text(name: string): string | undefined {
    return this.texts(name).at(-1);
  }

  /** All values of an option, in order. */
  texts(name: string): readonly string[] {
    const value = this.#values[name];
    return value === undefined ? [] : [value].flat().map(String);
  }

  /** The value of an option as `parse` reads it. Throws `usage`, naming the option. */
  optional<T>(name: string, parse: Parse<T>): T | undefined {
    const text = this.text(name);
    return text === undefined ? undefined : parse(text, `--${name}`, 'usage');
  }

  /** The value of an option that this call cannot do without. Throws `usage`; `why` says what it is for. */
  required<T>(name: string, parse: Parse<T>, why: string): T {
    const value = this.optional(name, parse);
    if (value === undefined) throw usage(this.subcommand.name, `--${name} is missing: ${why}`);
    return value;
  }

  /** A whole number within limits, both included. Throws `usage`. */
  integer(name: string, least: number, most: number): number | undefined {
    const text = this.text(name);
    if (text === undefined) return undefined;
    const number = /^[0-9]{1,15}$/.test(text) ? Number(text) : Number.NaN;
    if (number >= least && number <= most) return number;
    throw usage(this.subcommand.name, `--${name} is ${JSON.stringify(text)}, not a number from ${least} to ${most}`);
  }
}

function placed({ name, positionals }: Subcommand, words: readonly string[]): Map<string, readonly string[]> {
  const last = positionals.at(-1);
  const least = positionals.filter(({ optional }) => !optional).length;
  const names = positionals.map((one) => one.name).join(' ') || 'none';
  if (words.length < least || (!last?.many && words.length > positionals.length)) {
    throw usage(name, `${words.length} words given, expected ${last?.many ? 'at least ' : ''}${least} (${names})`);
  }
  return new Map(
    positionals.map((one, index) => [one.name, words.slice(index, one === last && one.many ? undefined : index + 1)]),
  );
}

/** A wrong call: what was probably meant, and where to read on. */
export function usage(subcommand: string, what: string, meant?: string): DriverError {
  const program = subcommand === '' ? 'backupctl' : `backupctl ${subcommand}`;
  const hint = `See: ${program} --help`;
  return new DriverError('usage', `${program}: ${what.replace(/[.\s]+$/, '')}`, {
    hint: meant === undefined ? hint : `Did you mean ${meant}? ${hint}`,
  });
}
