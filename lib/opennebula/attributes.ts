import { DriverError, type ErrorDetails } from '../errors';
import { Secret } from '../secret';
import type { Datastore } from './datastore';
import { type AbsolutePath, type Parse, parseAbsolutePath } from './ids';

/** What a check of a template found out. */
export interface AttributeCheck {
  /** All attributes that were asked for, in order. */
  readonly asked: ReadonlySet<string>;
  /** Those of them without which nothing works, and those that are secret. */
  readonly required: ReadonlySet<string>;
  readonly secret: ReadonlySet<string>;
  /** All that is wrong, not only the first. */
  readonly problems: readonly AttributeProblem[];
}

/** What is wrong with one attribute. */
interface AttributeProblem {
  readonly name: string;
  readonly error: DriverError;
}

/** Runs what reads a configuration on a template only to learn what it says of each attribute. What it makes of them is dropped. */
export function checkAttributes(subject: Subject, read: (attributes: Attributes) => unknown): AttributeCheck {
  const check = { asked: new Set<string>(), required: new Set<string>(), secret: new Set<string>(), problems: [] };
  read(new Attributes(subject, check));
  return check;
}

/** What is read; the errors name what is known of it. */
type Subject = Pick<Datastore, 'template'> & Partial<Pick<Datastore, 'id' | 'correctedBy'>>;

interface Noted {
  readonly asked: Set<string>;
  readonly required: Set<string>;
  readonly secret: Set<string>;
  readonly problems: AttributeProblem[];
}

/**
 * Reads the attributes of a datastore's template into typed values. An attribute that is missing or empty has its
 * default; one that is out of range is an error that names it and what was expected, never a silent default.
 */
export class Attributes {
  readonly #subject: Subject;
  /** In a check, errors are noted here instead of thrown. */
  readonly #noted: Noted | undefined;

  constructor(subject: Subject, noted?: Noted) {
    this.#subject = subject;
    this.#noted = noted;
  }

  /** The text of an attribute, or undefined. Surrounding blanks are not part of it. */
  text(name: string): string | undefined {
    return this.#attempt(name, () => this.#text(name));
  }

  /** A value that must be there, in the form that `parse` accepts. */
  required<T>(name: string, parse: Parse<T>): T {
    this.#noted?.required.add(name);
    return this.#attempt(name, () => {
      const text = this.#text(name);
      if (text === undefined) throw this.#missing(name);
      return parse(text, name, 'config');
    });
  }

  /** A value that may be missing, in the form that `parse` accepts. */
  optional<T>(name: string, parse: Parse<T>): T | undefined {
    return this.#attempt(name, () => {
      const text = this.#text(name);
      return text === undefined ? undefined : parse(text, name, 'config');
    });
  }

  /** A password: any characters but a newline or NUL, kept as they are. */
  secret(name: string): Secret {
    this.#noted?.required.add(name);
    this.#noted?.secret.add(name);
    return this.#attempt(name, () => {
      const value = this.#raw(name);
      if (value === undefined || value === '') throw this.#missing(name);
      if (/[\n\r\0]/.test(value)) throw this.#refused(name, 'a single line (it holds a line break or NUL)');
      if (Buffer.byteLength(value) > 4096) throw this.#refused(name, 'at most 4096 bytes long');
      return new Secret(value);
    });
  }

  /** A whole number within limits, both included. */
  integer(name: string, least: number, most: number): number | undefined {
    return this.#attempt(name, () => {
      const text = this.#text(name);
      if (text === undefined) return undefined;
      const value = /^-?[0-9]{1,10}$/.test(text) ? Number(text) : Number.NaN;
      if (value >= least && value <= most) return value;
      throw this.#refused(name, `a whole number from ${least} to ${most}`, text);
    });
  }

  /** One of some words, in upper or lower case. */
  oneOf<const Word extends string>(name: string, words: readonly Word[]): Word | undefined {
    return this.#attempt(name, () => {
      const text = this.#text(name);
      if (text === undefined) return undefined;
      const word = words.find((one) => one.toLowerCase() === text.toLowerCase());
      if (word === undefined) throw this.#refused(name, `one of ${words.join(', ')}`, text);
      return word;
    });
  }

  /** YES or NO. */
  yesNo(name: string): boolean | undefined {
    const word = this.oneOf(name, ['YES', 'NO']);
    return word === undefined ? undefined : word === 'YES';
  }

  /** An absolute path without `..`. */
  path(name: string): AbsolutePath | undefined {
    return this.optional(name, parseAbsolutePath);
  }

  /** A value of a form that is a regular expression; `expected` says it in words. */
  matching(name: string, form: RegExp, expected: string): string | undefined {
    return this.#attempt(name, () => {
      const text = this.#text(name);
      if (text !== undefined && !form.test(text)) throw this.#refused(name, expected, text);
      return text;
    });
  }

  #attempt<T>(name: string, read: () => T): T {
    this.#noted?.asked.add(name);
    try {
      return read();
    } catch (error) {
      if (this.#noted === undefined || !(error instanceof DriverError)) throw error;
      this.#noted.problems.push({ name, error });
      return undefined as T; // nobody uses what a check reads
    }
  }

  #text(name: string): string | undefined {
    return this.#raw(name)?.trim() || undefined;
  }

  #raw(name: string): string | undefined {
    return this.#subject.template.find(name)?.text;
  }

  #missing(name: string): DriverError {
    const { id } = this.#subject;
    const what = id === undefined ? `${name} is missing` : `datastore ${id} has no ${name}`;
    return new DriverError('config', what, this.#hint('Add'));
  }

  #refused(name: string, expected: string, text?: string): DriverError {
    const shown =
      text === undefined ? '' : ` is ${JSON.stringify(text.length > 40 ? `${text.slice(0, 37)}...` : text)}, it`;
    const { id } = this.#subject;
    const of = id === undefined ? '' : ` of datastore ${id}`;
    return new DriverError('config', `${name}${of}${shown} must be ${expected}`, this.#hint('Correct'));
  }

  #hint(act: 'Add' | 'Correct'): ErrorDetails {
    const { correctedBy } = this.#subject;
    return correctedBy === undefined ? {} : { hint: `${act} it ${correctedBy}` };
  }
}
