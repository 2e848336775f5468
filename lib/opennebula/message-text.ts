import { DriverError } from '../errors';
import type { Element } from './document';
import { xmlText } from './xml-text';

/** An element of a message that is still to be written: its name, and its text or its children. */
export type MessageNode = readonly [name: string, content: string | number | readonly MessageNode[]];

/** What oned writes as CDATA: whatever a user may have chosen. */
const CDATA_PARENTS = ['TEMPLATE', 'USER_TEMPLATE', 'DISK', 'OS', 'BACKUP_CONFIG', 'INCREMENT'];
const CDATA_NAMES = ['DS_MAD', 'TM_MAD', 'VM_MAD', 'BASE_PATH', 'SOURCE', 'FORMAT', 'FS'];

/** Returns a message as oned sends it, on one line; with `indent`, as a person reads it. Throws `message`. */
export function formatMessage(node: MessageNode, indent = false): string {
  return `${format(node, '', indent ? '\n' : '')}\n`;
}

/** The node of an element that was read. */
export function nodeOf(element: Element): MessageNode {
  const children = element.children();
  return [element.name, children.length === 0 ? element.text : children.map(nodeOf)];
}

/** The same element with other texts in place of those that must not be seen. */
export function withHidden([name, content]: MessageNode, isSecret: (name: string) => boolean): MessageNode {
  if (typeof content === 'object') {
    const below = isSecret(name) ? () => true : isSecret;
    return [name, content.map((child) => withHidden(child, below))];
  }
  return isSecret(name) && content !== '' ? [name, '***'] : [name, content];
}

function format([name, content]: MessageNode, parent: string, lineBreak: string): string {
  if (typeof content === 'object') {
    const inner = lineBreak === '' ? '' : `${lineBreak}  `;
    const children = content.map((child) => `${inner}${format(child, name, inner)}`).join('');
    return content.length === 0 ? `<${name}/>` : `<${name}>${children}${lineBreak}</${name}>`;
  }
  const text = String(content);
  const isCdata = CDATA_PARENTS.includes(parent) || CDATA_NAMES.includes(name);
  return `<${name}>${isCdata ? cdata(text, name) : xmlText(text, name)}</${name}>`;
}

function cdata(text: string, name: string): string {
  xmlText(text, name);
  if (!text.includes(']]>')) return `<![CDATA[${text}]]>`;
  throw new DriverError('message', `${name} holds "]]>", which oned cannot store`, { hint: 'Remove it' });
}
