import { type FileHandle, open } from 'node:fs/promises';
import { addAbortSignal, type Readable } from 'node:stream';
import { DriverError } from '../errors';
import { Element, MESSAGE_LIMIT_BYTES, tooLarge } from '../opennebula/document';

/** base64 needs four bytes for three. */
const READ_LIMIT_BYTES = Math.ceil((MESSAGE_LIMIT_BYTES * 4) / 3) + 4096;

/** Reads a message from a file or a stream, without ever holding more than the limit. Throws `message` or `notFound`; ends with the signal. */
export async function readMessage(
  file: string | undefined,
  stdin: () => Readable,
  signal: AbortSignal,
): Promise<Element> {
  const stream = file === undefined ? stdin() : (await openFile(file)).createReadStream();
  return Element.parseMessage(await readAll(addAbortSignal(signal, stream), file ?? 'stdin'));
}

async function openFile(file: string): Promise<FileHandle> {
  try {
    return await open(file);
  } catch (cause) {
    throw unreadable(file, cause);
  }
}

async function readAll(stream: Readable, name: string): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  try {
    for await (const chunk of stream) {
      size += (chunk as Buffer).length;
      if (size > READ_LIMIT_BYTES) throw tooLarge();
      chunks.push(chunk as Buffer);
    }
  } catch (cause) {
    throw cause instanceof DriverError ? cause : unreadable(name, cause);
  }
  return Buffer.concat(chunks);
}

function unreadable(name: string, cause: unknown): DriverError {
  return new DriverError('notFound', `cannot read the message from ${name}: ${(cause as Error).message}`, { cause });
}
