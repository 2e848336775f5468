import { open } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import { DriverError } from '../errors';
import { Element, MESSAGE_LIMIT_BYTES, tooLarge } from '../opennebula/document';

/** base64 needs four bytes for three. */
const READ_LIMIT_BYTES = Math.ceil((MESSAGE_LIMIT_BYTES * 4) / 3) + 4096;

/** Reads a message from a file or a stream, without ever holding more than the limit. Throws `message` or `notFound`. */
export async function readMessage(file: string | undefined, stdin: () => Readable): Promise<Element> {
  return Element.parseMessage(file === undefined ? await readAll(stdin()) : await readFile(file));
}

async function readFile(file: string): Promise<Buffer> {
  try {
    const handle = await open(file);
    return await readAll(handle.createReadStream());
  } catch (cause) {
    if (cause instanceof DriverError) throw cause;
    throw new DriverError('notFound', `cannot read the message from ${file}: ${(cause as Error).message}`, { cause });
  }
}

async function readAll(stream: Readable): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of stream) {
    size += (chunk as Buffer).length;
    if (size > READ_LIMIT_BYTES) throw tooLarge();
    chunks.push(chunk as Buffer);
  }
  return Buffer.concat(chunks);
}
