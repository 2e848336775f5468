import { DriverError } from '../errors';

const REFERENCES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  '\r': '&#13;',
};

/**
 * Returns text as it stands between the tags of an XML element. A carriage return becomes a reference, because
 * every XML parser turns a bare one into a line feed. Throws `message` for characters that XML 1.0 cannot hold.
 */
export function xmlText(text: string, what: string): string {
  if (/[^\t\n\r\x20-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/u.test(text)) {
    throw new DriverError('message', `${what} holds a control character, which cannot be sent to oned`, {
      hint: 'Remove it from the attribute',
    });
  }
  return text.replace(/[&<>"\r]/g, (character) => REFERENCES[character] as string);
}
