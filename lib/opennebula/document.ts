import { XMLParser, XMLValidator } from 'fast-xml-parser';
import { DriverError } from '../errors';

/** No message of oned comes near this; anything larger is not a message. */
export const MESSAGE_LIMIT_BYTES = 16 * 1024 * 1024;
const DEPTH_LIMIT = 64;

interface Node {
  readonly name: string;
  readonly text: string;
  readonly children: readonly Node[];
}

/**
 * A cursor on one element of a message. Its getters return typed values, and their errors name the
 * element and what was expected of it; a missing or repeated element is an error, never a default.
 */
export class Element {
  readonly #node: Node;
  /** Where the element stands, for messages: `DATASTORE/TEMPLATE`. */
  readonly path: string;

  private constructor(node: Node, path: string) {
    this.#node = node;
    this.path = path;
  }

  /**
   * Parses a message: XML, or XML in base64, as oned sends it (contract, "How a driver is called").
   * Throws `message` for anything that is not well-formed, has a DTD or entities of its own, is too large or too deep.
   */
  static parseMessage(input: Uint8Array): Element {
    return Element.parse(decode(Buffer.from(input.buffer, input.byteOffset, input.byteLength)), 'the message');
  }

  /** Parses XML text; `what` names it in errors. Throws `message`. */
  static parse(xml: string, what: string): Element {
    refuseDeclarations(xml, what);
    const valid = XMLValidator.validate(xml);
    if (valid !== true) throw malformed(`${what} is not well-formed XML: ${valid.err.msg} (line ${valid.err.line})`);
    const roots = toNodes(parse(xml, what), 0, what);
    const [root, ...others] = roots.filter((node) => !node.name.startsWith('?'));
    if (root === undefined || others.length > 0) throw malformed(`${what} is not one XML element`);
    return new Element(root, '');
  }

  get name(): string {
    return this.#node.name;
  }

  /** The text of this element, untrimmed and never turned into a number. */
  get text(): string {
    return this.#node.text;
  }

  /** All child elements, in order. */
  children(): Element[] {
    return this.#node.children.map((child) => this.#at(child));
  }

  /** The children of that name, in order. */
  all(name: string): Element[] {
    return this.#node.children.filter((child) => child.name === name).map((child) => this.#at(child));
  }

  /** The only child of that name, or undefined. Throws `message` when it is repeated. */
  find(name: string): Element | undefined {
    const found = this.all(name);
    if (found.length > 1) throw malformed(`the message repeats ${this.#join(name)}, which must stand once`);
    return found[0];
  }

  /** The only child of that name. Throws `message` when it is missing or repeated. */
  child(name: string): Element {
    const found = this.find(name);
    if (found === undefined) throw malformed(`the message has no ${this.#join(name)}`);
    return found;
  }

  /** The trimmed text of the only child of that name, or undefined when it is missing or empty. */
  optionalTextOf(name: string): string | undefined {
    const text = this.find(name)?.text.trim();
    return text === undefined || text === '' ? undefined : text;
  }

  /** The trimmed text of the only child of that name. Throws `message` when it is missing or empty. */
  textOf(name: string): string {
    const text = this.child(name).text.trim();
    if (text === '') throw malformed(`${this.#join(name)} is empty`);
    return text;
  }

  #at(node: Node): Element {
    return new Element(node, this.#join(node.name));
  }

  #join(name: string): string {
    return this.path === '' ? name : `${this.path}/${name}`;
  }
}

const TEXT = '#text';
const CDATA = '#cdata';

// preserveOrder gives every element as a list, whether it stands once or twice; no value is ever guessed to be a number.
const PARSER = new XMLParser({
  preserveOrder: true,
  parseTagValue: false,
  parseAttributeValue: false,
  trimValues: false,
  ignoreAttributes: true,
  cdataPropName: CDATA,
  textNodeName: TEXT,
  processEntities: false,
});

function parse(xml: string, what: string): unknown {
  try {
    return PARSER.parse(xml);
  } catch (cause) {
    throw malformed(`${what} cannot be read as XML: ${cause instanceof Error ? cause.message : cause}`);
  }
}

function toNodes(parsed: unknown, depth: number, what: string): Node[] {
  if (depth > DEPTH_LIMIT) throw malformed(`${what} is nested deeper than ${DEPTH_LIMIT} elements`);
  if (!Array.isArray(parsed)) return [];
  return parsed.flatMap((entry: Record<string, unknown>) => {
    const name = Object.keys(entry).find((key) => key !== ':@');
    if (name === undefined || name === TEXT || name === CDATA) return [];
    const content = entry[name];
    return [{ name, text: textOf(content), children: toNodes(content, depth + 1, what) }];
  });
}

function textOf(content: unknown): string {
  if (!Array.isArray(content)) return '';
  return content
    .map((part: Record<string, unknown>) => {
      if (typeof part[TEXT] === 'string') return decodeReferences(part[TEXT]);
      return Array.isArray(part[CDATA]) ? part[CDATA].map((piece) => String(piece[TEXT] ?? '')).join('') : '';
    })
    .join('');
}

const PREDEFINED: Readonly<Record<string, string>> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" };

/** XML knows five entities and character numbers; without a DTD any other name is an error, not text. */
function decodeReferences(text: string): string {
  return text.replace(/&([^;&\s]{0,16});?/g, (whole, name: string) => {
    const number = /^#(?:x([0-9a-fA-F]{1,6})|([0-9]{1,7}))$/.exec(name);
    const code = number?.[1] === undefined ? Number(number?.[2]) : Number.parseInt(number[1], 16);
    const character = number === null ? PREDEFINED[name] : code <= 0x10ffff ? String.fromCodePoint(code) : undefined;
    if (character === undefined || !whole.endsWith(';'))
      throw malformed('the message uses an entity that XML does not define');
    return character;
  });
}

function decode(input: Buffer): string {
  const text = input.toString('utf8');
  const start = text.replace(/^\ufeff/, '').trimStart();
  if (start === '') throw malformed('the message on stdin is empty');
  if (start.startsWith('<')) return limited(start);
  const packed = text.replace(/\s+/g, '');
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(packed) || packed.length % 4 !== 0) {
    throw malformed('the message is neither XML nor base64 of XML');
  }
  const unpacked = Buffer.from(packed, 'base64').toString('utf8').trimStart();
  if (!unpacked.startsWith('<')) throw malformed('the message is base64, but not of XML');
  return limited(unpacked);
}

function limited(xml: string): string {
  if (Buffer.byteLength(xml) > MESSAGE_LIMIT_BYTES) throw tooLarge();
  return xml;
}

/** oned sends no `<!…>` but CDATA and comments; a DTD or an entity is an attack, wherever it stands. */
function refuseDeclarations(xml: string, what: string): void {
  for (let at = xml.indexOf('<!'); at !== -1; at = xml.indexOf('<!', at)) {
    const section = xml.startsWith('<![CDATA[', at) ? ']]>' : xml.startsWith('<!--', at) ? '-->' : undefined;
    if ('<![CDATA['.startsWith(xml.slice(at))) throw malformed(`${what} is not well-formed XML: it is cut off`);
    if (section === undefined) throw malformed(`${what} holds a DTD or an entity declaration, which is not accepted`);
    const end = xml.indexOf(section, at + 4);
    if (end === -1) throw malformed(`${what} is cut off inside a CDATA section or a comment`);
    at = end + section.length;
  }
}

function malformed(what: string): DriverError {
  return new DriverError('message', what, { hint: 'Pass the message that oned sends to this action; see --help' });
}

/** The error for input beyond the limit. */
export function tooLarge(): DriverError {
  return malformed(`the message is larger than ${MESSAGE_LIMIT_BYTES / 1024 / 1024} MiB`);
}
