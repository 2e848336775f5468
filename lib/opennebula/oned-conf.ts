import { readFile } from 'node:fs/promises';
import type { AbsolutePath } from './ids';

/** One attribute of oned.conf. A name may occur many times. */
export interface ConfAttribute {
  /** In capitals: oned does not tell them apart. */
  readonly name: string;
  /** Where it begins and ends, counted from 1. */
  readonly line: number;
  readonly lastLine: number;
  /** The text of `NAME = "text"`; the members, by name in capitals, of `NAME = [ A = "x" ]`. */
  readonly value: string | ReadonlyMap<string, string>;
}

/** Why oned would not start with this oned.conf. */
export class ConfError extends Error {
  readonly line: number;

  constructor(line: number, what: string) {
    super(`line ${line}: ${what}`);
    this.name = 'ConfError';
    this.line = line;
  }
}

const BLANKS = /(?:\s+|#[^\n]*)+/y;
const NAME = /[A-Za-z0-9_]+/y;
/** The value has to begin on the line of its name. */
const EQUAL = /[ \t]*=[ \t]*/y;
/** Quotes may hold line breaks; a quote inside has a backslash, which stands for itself anywhere else. */
const QUOTED = /"((?:\\"|[^"])*)"/y;
const BARE = /[^=#\s,[\]"]+/y;

/** Reads oned.conf by the grammar that oned itself has for it. Throws ConfError. */
export function parseOnedConf(text: string): ConfAttribute[] {
  return new ConfReader(text).attributes();
}

class ConfReader {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  attributes(): ConfAttribute[] {
    const found: ConfAttribute[] = [];
    for (;;) {
      this.#take(BLANKS);
      if (this.#at === this.#text.length) return found;
      const line = this.#line();
      const name = this.#name();
      const value = this.#take(/\[/y) === undefined ? this.#single(name) : this.#members(name);
      found.push({ name, line, lastLine: this.#line(), value });
    }
  }

  /** Reads `NAME =`. */
  #name(): string {
    const name = this.#take(NAME)?.[0] ?? this.#fail('a name has to stand');
    if (this.#take(EQUAL) === undefined) this.#fail(`"=" has to follow ${name}`);
    return name.toUpperCase();
  }

  #single(name: string): string {
    if (/^\s|^$/.test(this.#text.slice(this.#at, this.#at + 1))) return '';
    const quoted = this.#take(QUOTED);
    if (quoted !== undefined) return (quoted[1] ?? '').replaceAll('\\"', '"');
    if (this.#text[this.#at] === '"') this.#fail(`the quotes after ${name} are never closed`);
    return this.#take(BARE)?.[0] ?? this.#fail(`a value has to follow ${name} =`);
  }

  #members(vector: string): Map<string, string> {
    const members = new Map<string, string>();
    this.#take(BLANKS);
    if (this.#take(/\]/y) !== undefined) return members;
    for (;;) {
      const name = this.#name();
      const value = this.#single(name);
      if (!members.has(name)) members.set(name, value); // as oned does, which keeps the first
      this.#take(BLANKS);
      if (this.#take(/\]/y) !== undefined) return members;
      if (this.#take(/,/y) === undefined) this.#fail(`"," or "]" has to follow ${name} in ${vector}`);
      this.#take(BLANKS);
    }
  }

  #take(pattern: RegExp): RegExpExecArray | undefined {
    pattern.lastIndex = this.#at;
    const match = pattern.exec(this.#text);
    if (match === null) return undefined;
    this.#at += match[0].length;
    return match;
  }

  #line(): number {
    return this.#text.slice(0, this.#at).split('\n').length;
  }

  #fail(what: string): never {
    const rest = this.#text.slice(this.#at).split('\n', 1)[0]?.trim().slice(0, 30);
    throw new ConfError(this.#line(), `${what}${rest ? `, not ${rest}` : ''}`);
  }
}

/** The text of oned.conf; undefined when it is not there or may not be read. */
export async function readOnedConf(conf: AbsolutePath): Promise<string | undefined> {
  return readFile(conf, 'utf8').catch(() => undefined);
}

/** The attributes of datastores that oned stores encrypted (DATASTORE_ENCRYPTED_ATTR); undefined when oned.conf does not tell. */
export async function encryptedAttributes(conf: AbsolutePath): Promise<ReadonlySet<string> | undefined> {
  const text = await readOnedConf(conf);
  if (text === undefined) return undefined;
  try {
    const named = parseOnedConf(text).filter(({ name }) => name === 'DATASTORE_ENCRYPTED_ATTR');
    return new Set(named.flatMap(({ value }) => (typeof value === 'string' ? [value.trim().toUpperCase()] : [])));
  } catch (error) {
    if (error instanceof ConfError) return undefined; // oned does not start with it; that is not ours to tell here
    throw error;
  }
}
