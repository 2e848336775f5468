/** A piece of a template, by the names of oned's scanner; `strange` is a character that none of its rules takes. */
export interface Token {
  readonly kind:
    | 'name'
    | 'equal'
    | 'equalEmpty'
    | 'comma'
    | 'close'
    | 'open'
    | 'cdata'
    | 'quoted'
    | 'bare'
    | 'strange'
    | 'end';
  readonly text: string;
  /** Where it stands in the text. */
  readonly start: number;
  readonly end: number;
}

/** The rules that oned's scanner has outside of values, in its order (src/parsers/template_parser.l). */
const OUTSIDE = [
  ['skip', /[ \t]*#[^\n]*\n/y],
  ['skip', /[ \t\n]+/y],
  ['name', /[A-Za-z0-9_]+/y],
  ['equal', /[ \t]*=[ \t]*/y],
  ['equalEmpty', /[ \t]*=[ \t]*\n/y],
  ['comma', /[ \t\n]*,[ \t\n]*/y],
  ['close', /[ \t\n]*\][ \t\n]*/y],
] as const;
const OPEN = /[ \t]*\[[ \t\n]*/y;
const BARE = /[^=# \t\n,[\]]+/y;

/**
 * Cuts a template into tokens as oned does: the longest match wins, the earlier rule on a tie. Right of `=` the rules
 * are other ones. What no rule takes, oned drops without a word; here it is a token, so that somebody can be told.
 */
export class TemplateScanner {
  readonly #text: string;
  #at = 0;
  /** The next end of a line and the next `]]>`: looked for once, or a file of one long line would take seconds. */
  #lineEnd = -1;
  #cdataStart = -1;
  /** Where the last value without quotes ends, unless a vector has been closed since. */
  #bareEnd: number | undefined;

  constructor(text: string) {
    this.#text = text;
    if (text.startsWith('\ufeff')) this.#at = 1;
  }

  /** The next token outside of values, without blanks and comments. */
  next(): Token {
    for (;;) {
      if (this.#at === this.#text.length) return this.#token('end', 0);
      let [kind, length]: [Token['kind'] | 'skip', number] = ['strange', 0];
      for (const [rule, pattern] of OUTSIDE) {
        const match = this.#match(pattern);
        if (match > length) [kind, length] = [rule, match];
      }
      if (kind === 'skip') this.#at += length;
      else if (length === 0 && this.#text[this.#at] === '\r') this.#at += 1;
      else return this.#token(kind, length || 1);
    }
  }

  /** The next token right of `=`. */
  value(): Token {
    if (this.#at === this.#text.length) return this.#token('end', 0);
    const found: [Token['kind'], number][] = [
      ['open', this.#match(OPEN)],
      ['cdata', this.#cdata()],
      ['quoted', this.#quoted()],
      ['bare', this.#match(BARE)],
    ];
    const [kind, length] = found.reduce((best, one) => (one[1] > best[1] ? one : best));
    return length === 0 ? this.#token('strange', 1) : this.#token(kind, length);
  }

  /** Whether a name stands in the line of a value without quotes: it is as likely the rest of that, and of a secret. */
  isBehindBare({ kind, start }: Token): boolean {
    if (kind !== 'name' || this.#bareEnd === undefined) return false;
    const lineEnd = this.#text.indexOf('\n', this.#bareEnd);
    return lineEnd === -1 || lineEnd > start;
  }

  /** Goes on behind the first match of a pattern from there on, or at the end. */
  skipTo(pattern: RegExp, from: number): void {
    const rest = this.#text.slice(from);
    const match = pattern.exec(rest);
    this.#at = match === null ? this.#text.length : from + match.index;
  }

  /** The rest of the line, if `]]>` stands in it. */
  #cdata(): number {
    if (this.#lineEnd < this.#at) this.#lineEnd = endOf(this.#text.indexOf('\n', this.#at), this.#text);
    if (this.#cdataStart < this.#at) this.#cdataStart = endOf(this.#text.indexOf(']]>', this.#at), this.#text);
    return this.#cdataStart < this.#lineEnd ? this.#lineEnd - this.#at : 0;
  }

  /** To the first `"` without a backslash before it; only where there is none, to the last one with it. */
  #quoted(): number {
    if (this.#text[this.#at] !== '"') return 0;
    for (let at = this.#text.indexOf('"', this.#at + 1); at !== -1; at = this.#text.indexOf('"', at + 1)) {
      if (this.#text[at - 1] !== '\\') return at + 1 - this.#at;
    }
    const last = this.#text.lastIndexOf('"');
    return last > this.#at ? last + 1 - this.#at : 0;
  }

  #match(pattern: RegExp): number {
    pattern.lastIndex = this.#at;
    return pattern.exec(this.#text)?.[0].length ?? 0;
  }

  #token(kind: Token['kind'], length: number): Token {
    const start = this.#at;
    this.#at += length;
    if (kind === 'bare') this.#bareEnd = this.#at;
    if (kind === 'quoted' || kind === 'close') this.#bareEnd = undefined;
    return { kind, text: this.#text.slice(start, this.#at), start, end: this.#at };
  }
}

/** What indexOf has found, or the end of the text. */
function endOf(index: number, text: string): number {
  return index === -1 ? text.length : index;
}
