/** A place in a file, both counted from 1, the column in characters. */
export interface Position {
  readonly line: number;
  readonly column: number;
}

/** Where the lines of a text begin. */
export class Lines {
  readonly #text: string;
  readonly #starts: readonly number[];
  /** The last place that was asked for: the next one is mostly near, and one line may be the whole file. */
  #last = { offset: 0, start: 0, characters: 0 };

  constructor(text: string) {
    this.#text = text;
    this.#starts = [0, ...[...text.matchAll(/\n/g)].map(({ index }) => index + 1)];
  }

  /** The place of the character at that offset. A mark of the byte order takes none. */
  position(offset: number): Position {
    let [low, high] = [0, this.#starts.length - 1];
    while (low < high) {
      const middle = Math.ceil((low + high) / 2);
      if ((this.#starts[middle] ?? 0) <= offset) low = middle;
      else high = middle - 1;
    }
    const start = this.#starts[low] as number;
    const from = this.#last.start === start ? this.#last : { offset: start, characters: 0 };
    const between = [...this.#text.slice(Math.min(from.offset, offset), Math.max(from.offset, offset))].length;
    const characters = from.characters + (offset < from.offset ? -between : between);
    this.#last = { offset, start, characters };
    const mark = start === 0 && offset > 0 && this.#text.startsWith('\ufeff') ? 1 : 0;
    return { line: low + 1, column: characters - mark + 1 };
  }
}
