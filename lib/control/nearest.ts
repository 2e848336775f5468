/** The name that was probably meant: the one with the fewest letters wrong, one in three at most; undefined if none is near. */
export function nearestName(word: string, names: readonly string[]): string | undefined {
  const wrong = names.map((name) => ({ name, count: distance(word.toUpperCase(), name.toUpperCase()) }));
  const [best] = wrong.sort((a, b) => a.count - b.count || a.name.length - b.name.length);
  return best !== undefined && best.count <= Math.floor(word.length / 3) ? best.name : undefined;
}

/** How many letters have to be added, removed, replaced or swapped with their neighbour (optimal string alignment). */
function distance(from: string, to: string): number {
  let [before, last]: [number[], number[]] = [[], Array.from({ length: to.length + 1 }, (_, index) => index)];
  for (let i = 1; i <= from.length; i++) {
    const row = [i];
    for (let j = 1; j <= to.length; j++) {
      const same = from[i - 1] === to[j - 1] ? 0 : 1;
      const swapped = i > 1 && j > 1 && from[i - 1] === to[j - 2] && from[i - 2] === to[j - 1];
      const ways = [at(last, j) + 1, at(row, j - 1) + 1, at(last, j - 1) + same];
      row.push(Math.min(...ways, ...(swapped ? [at(before, j - 2) + 1] : [])));
    }
    [before, last] = [last, row];
  }
  return at(last, to.length);
}

function at(row: readonly number[], index: number): number {
  return row[index] ?? Number.POSITIVE_INFINITY;
}
