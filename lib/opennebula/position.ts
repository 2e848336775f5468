/** A place in a file, both counted from 1, the column in characters. */
export interface Position {
  readonly line: number;
  readonly column: number;
}

/** Where the lines of a text begin. */
export class Lines {
  readonly #text: string;
  readonly #starts: readonly number[];

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
    const before = this.#text.slice(this.#starts[low], offset).replace(/^\ufeff/, '');
    return { line: low + 1, column: [...before].length + 1 };
  }
}
