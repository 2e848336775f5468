import { readFile } from 'node:fs/promises';
import type { AbsolutePath } from './ids';
import { parseTemplateFile } from './template-file';

/** The stock file has 60 kB, most of it comments. */
const CONF_LIMIT_BYTES = 2 ** 20;

/**
 * The attributes of datastores that oned stores encrypted (DATASTORE_ENCRYPTED_ATTR of oned.conf, which is written as a
 * template is); undefined when the file is not there or may not be read.
 */
export async function encryptedAttributes(conf: AbsolutePath): Promise<ReadonlySet<string> | undefined> {
  const file = await readFile(conf).catch(() => undefined);
  if (file === undefined) return undefined;
  const { attributes, mistakes } = parseTemplateFile(file, CONF_LIMIT_BYTES);
  if (mistakes.length > 0) return undefined; // oned does not start with it; that is not ours to tell here
  const named = attributes.filter(({ name }) => name === 'DATASTORE_ENCRYPTED_ATTR');
  return new Set(named.flatMap(({ value }) => ('length' in value ? [] : [value.text.trim().toUpperCase()])));
}
