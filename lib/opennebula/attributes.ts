import { DriverError } from '../errors';
import { Secret } from '../secret';
import type { Datastore } from './datastore';
import { type AbsolutePath, type Parse, parseAbsolutePath } from './ids';

/**
 * Reads the attributes of a datastore's template into typed values. An attribute that is missing or empty has its
 * default; one that is out of range is an error that names it and what was expected, never a silent default.
 */
export class Attributes {
  readonly #datastore: Datastore;

  constructor(datastore: Datastore) {
    this.#datastore = datastore;
  }

  /** The text of an attribute, or undefined. Surrounding blanks are not part of it. */
  text(name: string): string | undefined {
    return this.#raw(name)?.trim() || undefined;
  }

  /** A value that must be there, in the form that `parse` accepts. */
  required<T>(name: string, parse: Parse<T>): T {
    const text = this.text(name);
    if (text === undefined) throw this.#missing(name);
    return parse(text, name, 'config');
  }

  /** A value that may be missing, in the form that `parse` accepts. */
  optional<T>(name: string, parse: Parse<T>): T | undefined {
    const text = this.text(name);
    return text === undefined ? undefined : parse(text, name, 'config');
  }

  /** A password: any characters but a newline or NUL, kept as they are. */
  secret(name: string): Secret {
    const value = this.#raw(name);
    if (value === undefined || value === '') throw this.#missing(name);
    if (/[\n\r\0]/.test(value)) throw this.#refused(name, 'a single line (it holds a line break or NUL)');
    if (Buffer.byteLength(value) > 4096) throw this.#refused(name, 'at most 4096 bytes long');
    return new Secret(value);
  }

  /** A whole number within limits, both included. */
  integer(name: string, least: number, most: number): number | undefined {
    const text = this.text(name);
    if (text === undefined) return undefined;
    const value = /^-?[0-9]{1,10}$/.test(text) ? Number(text) : Number.NaN;
    if (value >= least && value <= most) return value;
    throw this.#refused(name, `a whole number from ${least} to ${most}`, text);
  }

  /** One of some words, in upper or lower case. */
  oneOf<const Word extends string>(name: string, words: readonly Word[]): Word | undefined {
    const text = this.text(name);
    if (text === undefined) return undefined;
    const word = words.find((one) => one.toLowerCase() === text.toLowerCase());
    if (word === undefined) throw this.#refused(name, `one of ${words.join(', ')}`, text);
    return word;
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
    const text = this.text(name);
    if (text !== undefined && !form.test(text)) throw this.#refused(name, expected, text);
    return text;
  }

  #raw(name: string): string | undefined {
    return this.#datastore.template.find(name)?.text;
  }

  #missing(name: string): DriverError {
    return new DriverError('config', `datastore ${this.#datastore.id} has no ${name}`, {
      hint: `Add it with: onedatastore update ${this.#datastore.id}`,
    });
  }

  #refused(name: string, expected: string, text?: string): DriverError {
    const shown =
      text === undefined ? '' : ` is ${JSON.stringify(text.length > 40 ? `${text.slice(0, 37)}...` : text)}, it`;
    return new DriverError('config', `${name} of datastore ${this.#datastore.id}${shown} must be ${expected}`, {
      hint: `Correct it with: onedatastore update ${this.#datastore.id}`,
    });
  }
}
