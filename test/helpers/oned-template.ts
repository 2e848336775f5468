/** What oned reads in a template: names with a value each, or with the attributes of a vector. Both in order. */
export type ParsedTemplate = (readonly [name: string, value: string | Record<string, string>])[];

const RULES = {
  outside: [
    ['skip', /[ \t]*#.*\n|[ \t\n]+/y],
    ['name', /[A-Za-z0-9_]+/y],
    ['equal', /[ \t]*=[ \t]*/y],
    ['equalEmpty', /[ \t]*=[ \t]*\n/y],
    ['comma', /[ \t\n]*,[ \t\n]*/y],
    ['close', /[ \t\n]*\][ \t\n]*/y],
  ],
  value: [
    ['open', /[ \t]*\[[ \t\n]*/y],
    ['refused', /.*\]\]>.*/y],
    ['quoted', /"(?:\\"|[^"])*"/y],
    ['bare', /[^=# \t\n,[\]]+/y],
  ],
} as const;

type Token = { kind: (typeof RULES)['outside' | 'value'][number][0]; text: string };

/**
 * Reads a template as oned does (its scanner takes the longest match, the earlier rule on a tie; then `\"` becomes `"`).
 * Written from the rules of src/parsers/template_parser.l and template_syntax.y, apart from the code that it tests.
 */
export function parseTemplateText(text: string): ParsedTemplate {
  const tokens = scan(text);
  const take = (...kinds: Token['kind'][]): Token => {
    const token = tokens.shift();
    if (token === undefined || !kinds.includes(token.kind))
      throw new Error(`Parse error: ${token?.kind ?? 'end'} instead of ${kinds}`);
    return token;
  };
  const unquoted = ({ kind, text: raw }: Token): string =>
    (kind === 'quoted' ? raw.slice(1, -1) : raw).replaceAll('\\"', '"');
  const parsed: [string, string | Record<string, string>][] = [];
  while (tokens.length > 0) {
    const name = take('name').text;
    if (take('equal', 'equalEmpty').kind === 'equalEmpty') {
      parsed.push([name, '']);
      continue;
    }
    const value = take('open', 'quoted', 'bare');
    if (value.kind !== 'open') {
      parsed.push([name, unquoted(value)]);
      continue;
    }
    const vector: Record<string, string> = {};
    do {
      const key = take('name').text;
      take('equal');
      vector[key] ??= unquoted(take('quoted', 'bare'));
    } while (take('comma', 'close').kind === 'comma');
    parsed.push([name, vector]);
  }
  return parsed;
}

function scan(text: string): Token[] {
  const tokens: Token[] = [];
  let state: keyof typeof RULES = 'outside';
  for (let at = 0; at < text.length; ) {
    let best: Token | undefined;
    for (const [kind, pattern] of RULES[state]) {
      pattern.lastIndex = at;
      const match = pattern.exec(text)?.[0];
      if (match !== undefined && match.length > (best?.text.length ?? 0)) best = { kind, text: match };
    }
    if (best === undefined) throw new Error(`Parse error: unexpected ${JSON.stringify(text[at])}`);
    at += best.text.length;
    state = best.kind === 'equal' ? 'value' : 'outside';
    if (best.kind !== 'skip') tokens.push(best);
  }
  return tokens;
}
