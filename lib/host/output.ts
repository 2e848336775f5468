import type { Readable, Writable } from 'node:stream';
import { StringDecoder } from 'node:string_decoder';
import type { RunOptions } from './host';

/** More than any program prints that is driven here; what is longer is cut at the front. */
const KEPT_OUTPUT_BYTES = 64 * 1024 * 1024;

/**
 * Reads a program's stdout to its end, as the options say; `stop` is called when its reader goes away, and what comes once
 * `stopped` has fired is thrown away. Returns what was kept, and what the reader failed with.
 */
export async function readOutput(stdout: Readable, options: RunOptions, stop: () => void, stopped: AbortSignal) {
  if (options.output !== undefined)
    return { text: () => '', readerGone: await pump(stdout, options.output, options.onData, stop, stopped) };
  const text = options.onLine === undefined ? keep(stdout, KEPT_OUTPUT_BYTES) : eachLine(stdout, options.onLine);
  await new Promise<void>((resolve) => stdout.once('close', resolve).once('end', resolve));
  return { text, readerGone: undefined };
}

/**
 * Passes a program's output on. When the reader goes away, the program is stopped and what it still writes is thrown
 * away: its pipe must stay open until it has cleaned up, for it would die of SIGPIPE (restic would leave its lock).
 * Returns what the reader failed with, if it did.
 */
async function pump(
  stdout: Readable,
  output: Writable,
  onData: RunOptions['onData'],
  stop: () => void,
  stopped: AbortSignal,
): Promise<unknown> {
  let readerGone: unknown;
  const gone = (error?: unknown): void => {
    readerGone ??= error ?? new Error('closed');
    stop();
  };
  output.once('error', gone).once('close', gone);
  stdout.on('error', () => {}); // a lost connection is told by `ended`
  stdout.on('data', (chunk: Buffer) => {
    if (stopped.aborted) return;
    onData?.(chunk.length);
    if (output.write(chunk)) return;
    stdout.pause();
    output.once('drain', () => stdout.resume());
  });
  await new Promise<void>((resolve) => stdout.once('close', resolve).once('end', resolve));
  output
    .removeListener('error', gone)
    .removeListener('close', gone)
    .on('error', () => {});
  return readerGone;
}

/** Keeps what a stream says, at the most that many bytes of its end. */
export function keep(stream: Readable, limitBytes: number): () => string {
  const chunks: Buffer[] = [];
  let size = 0;
  stream.on('data', (chunk: Buffer) => {
    chunks.push(chunk);
    size += chunk.length;
    while (size > limitBytes && chunks.length > 1) size -= (chunks.shift() as Buffer).length;
  });
  stream.on('error', () => {}); // a lost connection is told by `ended`
  return () => Buffer.concat(chunks).toString('utf8');
}

function eachLine(stream: Readable, onLine: (line: string) => void): () => string {
  const decoder = new StringDecoder('utf8');
  let rest = '';
  let last = '';
  stream.on('error', () => {});
  stream.on('data', (chunk: Buffer) => {
    const lines = (rest + decoder.write(chunk)).split(/[\r\n]/); // a program that draws its progress ends lines by \r
    rest = lines.pop() as string;
    for (const line of lines.filter((one) => one.trim() !== '')) {
      last = line;
      onLine(line);
    }
  });
  return () => (rest.trim() === '' ? last : rest);
}
