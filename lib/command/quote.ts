/**
 * The one place where something becomes part of a line of shell: every word in single quotes, in which a POSIX shell
 * (sh(1p), "Single-Quotes") leaves all characters alone; a single quote itself closes, is escaped, and opens again.
 */
export function quote(words: readonly string[]): string {
  return words.map(quoteWord).join(' ');
}

function quoteWord(word: string): string {
  return /^[A-Za-z0-9_./:=@%+,-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}
