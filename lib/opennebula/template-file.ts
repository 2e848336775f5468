import { Lines, type Position } from './position';
import { TemplateScanner, type Token } from './template-scanner';
import { xmlText } from './xml-text';

/** A value of a template. */
interface TemplateValue {
  readonly text: string;
  readonly at: Position;
}

/** `NAME = "value"` inside of a vector. */
export interface TemplateMember {
  readonly name: string;
  readonly at: Position;
  readonly value: TemplateValue;
}

/** One attribute of a template. */
export interface TemplateAttribute {
  /** In capitals: oned does not tell them apart. */
  readonly name: string;
  readonly at: Position;
  /** Single, or the members of `NAME = [ A = "x", B = "y" ]`. */
  readonly value: TemplateValue | readonly TemplateMember[];
}

/** Where a file is no template that oned would understand as it is meant. */
interface TemplateMistake {
  readonly at: Position;
  readonly what: string;
  /** What the reader can do: an imperative sentence without its full stop. */
  readonly hint: string;
}

/** A template as a file holds it. With mistakes, the attributes are those that could still be read. */
export interface TemplateFile {
  readonly attributes: readonly TemplateAttribute[];
  readonly mistakes: readonly TemplateMistake[];
}

/** No template of a datastore comes near this. */
const LIMIT_BYTES = 64 * 1024;
const MISTAKES_LIMIT = 50;

/**
 * Reads the template in a file by oned's own rules (template-text.ts says where they stand), and finds fault with what
 * oned would drop, or understand in another way than it looks. Throws nothing, whatever the file holds.
 */
export function parseTemplateFile(file: Uint8Array): TemplateFile {
  const start = { line: 1, column: 1 };
  const only = (what: string, hint: string): TemplateFile => ({
    attributes: [],
    mistakes: [{ at: start, what, hint }],
  });
  if (file.length > LIMIT_BYTES) {
    return only(`the file is larger than ${LIMIT_BYTES / 1024} KiB`, 'Give the template of a datastore');
  }
  const text = Buffer.from(file).toString('utf8');
  if (/^\ufeff?\s*</.test(text)) return only('this is XML', 'Write attributes as NAME = "value"');
  const reader = new TemplateReader(text);
  if (!Buffer.from(text).equals(file)) {
    reader.mistake(text.indexOf('\ufffd'), 'these bytes are not UTF-8', 'Save the file as UTF-8');
    return reader.found;
  }
  reader.read();
  return reader.found;
}

const BEHIND_BARE = 'Write a value with blanks between quotes, and each attribute in a line of its own';
const NO_EQUAL = 'no "=" follows this word';

class TemplateReader {
  readonly #text: string;
  readonly #scanner: TemplateScanner;
  readonly #lines: Lines;
  readonly #attributes: TemplateAttribute[] = [];
  readonly #mistakes: TemplateMistake[] = [];
  /** The last quoted value that goes over several lines: it may be two, and a quote be missing. */
  #long: Token | undefined;
  #dosLines = false;

  constructor(text: string) {
    this.#text = text;
    this.#scanner = new TemplateScanner(text);
    this.#lines = new Lines(text);
  }

  get found(): TemplateFile {
    return { attributes: this.#attributes, mistakes: this.#mistakes };
  }

  read(): void {
    while (this.#mistakes.length < MISTAKES_LIMIT) {
      const name = this.#scanner.next();
      if (name.kind === 'end') return;
      const value = this.#scanner.isBehindBare(name)
        ? this.mistake(name.start, 'something stands behind the unquoted value of this line', BEHIND_BARE)
        : name.kind === 'name'
          ? this.#valueOf(name)
          : this.#unexpected(name, `a NAME has to stand here, and not ${foundOf(name)}`);
      if (value === undefined) this.#scanner.skipTo(/(?<=\n)[ \t]*[A-Za-z_][A-Za-z0-9_]*[ \t]*=/, name.end);
      else this.#attributes.push({ ...this.#named(name), value });
    }
  }

  mistake(offset: number, what: string, hint: string): undefined {
    this.#mistakes.push({ at: this.#lines.position(offset), what, hint });
    return undefined;
  }

  #valueOf(name: Token): TemplateAttribute['value'] | undefined {
    const equal = this.#scanner.next();
    if (equal.kind === 'equalEmpty') return { text: '', at: this.#lines.position(equal.start) };
    if (equal.kind !== 'equal') return this.#unexpected(name, NO_EQUAL);
    const value = this.#scanner.value();
    return value.kind === 'open' ? this.#members(name.text) : this.#single(name.text, value);
  }

  #members(vector: string): TemplateMember[] | undefined {
    const members: TemplateMember[] = [];
    let token = this.#scanner.next();
    if (token.kind === 'close') return members;
    for (;;) {
      if (token.kind !== 'name') {
        return this.#unexpected(token, `a NAME has to stand here in ${vector}, and not ${foundOf(token)}`);
      }
      const equal = this.#scanner.next();
      if (equal.kind === 'equalEmpty') {
        return this.mistake(equal.start, `${token.text} in ${vector} has no value`, 'Write "" for an empty one');
      }
      if (equal.kind !== 'equal') return this.#unexpected(token, NO_EQUAL);
      const value = this.#single(token.text, this.#scanner.value());
      if (value === undefined) return undefined;
      members.push({ ...this.#named(token), value });
      const mark = this.#scanner.next();
      if (mark.kind === 'close') return members;
      if (mark.kind !== 'comma') {
        return this.#unexpected(mark, `"," or "]" has to follow ${token.text}, and not ${foundOf(mark)}`);
      }
      token = this.#scanner.next();
    }
  }

  #single(name: string, { kind, text, start }: Token): TemplateValue | undefined {
    const refuse = (what: string, hint: string): undefined => this.mistake(start, what, hint);
    if (kind === 'cdata') return refuse(`"]]>" stands in this line, which oned cannot store`, 'Remove it');
    if (kind !== 'quoted' && kind !== 'bare') {
      return refuse(`a value has to follow ${name} =`, 'Write it between quotes: "value"; "" is an empty one');
    }
    if (kind === 'bare' && text.includes('\r')) {
      // one word about all lines is enough
      if (this.#dosLines) return { text: '', at: this.#lines.position(start) };
      this.#dosLines = true;
      const hint = 'Save the file with the line ends of Unix';
      return refuse('the line ends in a carriage return, which oned takes for a part of the value', hint);
    }
    if (kind === 'bare' && text === '\\') {
      return refuse('a backslash does not continue a line', 'Begin the value behind the "="');
    }
    if (kind === 'bare' && text.startsWith('"')) {
      return /^"[^"]*"./.test(text)
        ? refuse(`something follows the closing quote of ${name}`, 'Write \\" for a quote inside of a value')
        : refuse(`the quote of ${name} is never closed`, 'Close it with a "');
    }
    const value = (kind === 'quoted' ? text.slice(1, -1) : text).replaceAll('\\"', '"');
    if (value.includes(']]>')) return refuse(`${name} holds "]]>", which oned cannot store`, 'Remove it');
    try {
      xmlText(value, name);
    } catch {
      return refuse(`${name} holds a control character, which oned cannot store`, 'Remove it');
    }
    if (text.includes('\n')) this.#long = { kind, text, start, end: start + text.length };
    return { text: value, at: this.#lines.position(start) };
  }

  #named({ text, start }: Token): Pick<TemplateAttribute, 'name' | 'at'> {
    if (/^[0-9]/.test(text)) this.mistake(start, `the name ${text} begins with a digit`, 'Let it begin with a letter');
    return { name: text.toUpperCase(), at: this.#lines.position(start) };
  }

  #unexpected({ text, start }: Token, what: string): undefined {
    const long = this.#long;
    if (long !== undefined && this.#lines.position(start).line === this.#lines.position(long.end).line) {
      const until = this.#lines.position(long.end).line;
      return this.mistake(long.start, `the quote that opens here is closed only in line ${until}`, 'Close it before');
    }
    const hint = /^\\\r?\n/.test(this.#text.slice(start))
      ? 'Remove the backslash: a vector, or a value in quotes, goes on in the next line without one'
      : text.startsWith('#')
        ? 'End the last line of the file, too, with a line break'
        : 'Write NAME = "value", or NAME = [ A = "x", B = "y" ]';
    return this.mistake(start, what, hint);
  }
}

/** What stands where it should not: never a word itself, which may be a part of a secret. */
function foundOf({ kind, text }: Token): string {
  if (kind === 'name') return 'another word';
  return kind === 'end' ? 'the end of the file' : JSON.stringify(text.trim());
}
