import { DriverError } from '../errors';
import { xmlText } from './xml-text';

/** The attributes of one vector, as in `DISK = [ IMAGE_ID = "7", DEV_PREFIX = "vd" ]`. */
export type VectorAttributes = readonly (readonly [name: string, value: string])[];

/** One attribute of a template: a single value, or a vector of them. Names may repeat (DISK, NIC). */
export type TemplateEntry = readonly [name: string, value: string | VectorAttributes];

/**
 * Writes a template for oned's API, so that oned reads back exactly these names and values.
 *
 * oned takes two forms (src/template/Template.cc, parse_str_or_xml): XML when the first character is `<`, else its text
 * syntax (src/parsers/template_parser.l, template_syntax.y). In text a quoted value runs to the last `"` it can reach
 * without crossing a `"` that has no backslash before it; then every `\"` becomes `"`, and no other backslash means
 * anything. Line ends, `]`, `,`, `=` and `#` are plain characters inside the quotes. So `"` is written `\"`, and all
 * else as it is. What text cannot say is a value that ends in a backslash, whose closing quote would be taken for `\"`,
 * and a name that is not letters, digits and `_`: a template that holds one is written as XML. `]]>` oned accepts in
 * neither form, as it stores values in CDATA. Throws `message` for a value with `]]>`.
 */
export function formatTemplate(entries: readonly TemplateEntry[]): string {
  const pairs = entries.flatMap(([name, value]) =>
    typeof value === 'string' ? [[name, value] as const] : [[name, ''] as const, ...value],
  );
  const stored = pairs.find(([, value]) => value.includes(']]>'));
  if (stored !== undefined) {
    throw new DriverError('message', `the attribute ${stored[0]} holds "]]>", which oned cannot store`, {
      hint: 'Remove it from the attribute',
    });
  }
  const sayable = pairs.every(([name, value]) => /^[A-Za-z0-9_]+$/.test(name) && !value.endsWith('\\'));
  return sayable ? entries.map(textOf).join('') : `<TEMPLATE>${entries.map(xmlOf).join('')}</TEMPLATE>`;
}

function textOf([name, value]: TemplateEntry): string {
  if (typeof value === 'string') return `${name} = ${quoted(value)}\n`;
  return `${name} = [\n${value.map(([key, text]) => `  ${key} = ${quoted(text)}`).join(',\n')}\n]\n`;
}

function quoted(value: string): string {
  return `"${value.replaceAll('"', '\\"')}"`;
}

function xmlOf([name, value]: TemplateEntry): string {
  const content = typeof value === 'string' ? xmlText(value, `the attribute ${name}`) : value.map(xmlOf).join('');
  return `<${name}>${content}</${name}>`;
}
