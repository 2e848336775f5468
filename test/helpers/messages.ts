import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/** The name of a message in test/fixtures/oned-messages, which a real oned sent. */
export type MessageName =
  | 'monitor'
  | 'backup-live-full'
  | 'backup-poweroff-increment'
  | 'backup-job'
  | 'backup_cancel'
  | 'rm-increments'
  | 'increment_flatten'
  | 'restore-increment-named'
  | 'stat-from-backup-ds'
  | 'ls-i2';

const FOLDER = join(__dirname, '..', 'fixtures', 'oned-messages');

/** Returns a real message as it is. */
export function realMessage(name: MessageName): string {
  return readFileSync(join(FOLDER, `${name}.xml`), 'utf8');
}

/** Puts text into an element, the first of that name inside `within`, keeping everything else as oned wrote it. */
export function withText(message: string, within: string, name: string, text: string): string {
  const start = within === '' ? 0 : message.search(new RegExp(`<${within}>`));
  if (start === -1) throw new Error(`the message has no ${within}`);
  const pattern = new RegExp(`<${name}>(?:<!\\[CDATA\\[[\\s\\S]*?\\]\\]>|[^<]*)</${name}>|<${name}/>`);
  const rest = message.slice(start);
  if (!pattern.test(rest)) throw new Error(`${within} has no ${name}`);
  return message.slice(0, start) + rest.replace(pattern, () => element(name, text));
}

/** Adds an element at the end of another one. */
export function withAdded(message: string, parent: string, name: string, text: string): string {
  const end = message.indexOf(`</${parent}>`);
  if (end === -1) throw new Error(`the message has no ${parent}`);
  return message.slice(0, end) + element(name, text) + message.slice(end);
}

/** Sets an attribute of the datastore. */
export function withAttribute(message: string, name: string, value: string): string {
  const start = message.search(/<TEMPLATE>\s*<DS_MAD>/);
  if (start === -1) throw new Error('the message is about no datastore');
  const end = message.indexOf('</TEMPLATE>', start);
  const template = message.slice(start, end);
  const set = template.includes(`<${name}>`) ? withText(template, '', name, value) : template + element(name, value);
  return message.slice(0, start) + set + message.slice(end);
}

/** Replaces the content of an element as a whole. */
export function withContent(message: string, name: string, xml: string): string {
  const pattern = new RegExp(`<${name}>[\\s\\S]*?</${name}>|<${name}/>`);
  if (!pattern.test(message)) throw new Error(`the message has no ${name}`);
  return message.replace(pattern, () => `<${name}>${xml}</${name}>`);
}

function element(name: string, text: string): string {
  return `<${name}><![CDATA[${text.replaceAll(']]>', ']]]]><![CDATA[>')}]]></${name}>`;
}

/** Returns the list of a chain's increments as IMAGE/BACKUP_INCREMENTS holds it. */
export function incrementsXml(chain: readonly { id: number; source: string }[]): string {
  return chain
    .map(({ id, source }, index) => {
      const type = index === 0 ? 'FULL' : 'INCREMENT';
      const parent = index === 0 ? -1 : (chain[index - 1]?.id ?? -1);
      return `<INCREMENT><DATE>1795147742</DATE><ID>${id}</ID><PARENT_ID>${parent}</PARENT_ID><SIZE>7</SIZE>${element('SOURCE', source)}<TYPE>${type}</TYPE></INCREMENT>`;
    })
    .join('');
}
