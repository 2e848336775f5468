import type { Readable, Writable } from 'node:stream';
import { StringDecoder } from 'node:string_decoder';
import type { Command, Outcome } from '../command/command';
import { HEARTBEAT, HEARTBEAT_SECONDS, SUPERVISOR_EXIT, supervisorPreamble } from '../command/supervise';
import { DriverError } from '../errors';
import type { RunOptions } from './host';

/** A program that runs under the supervisor, here or on another host. */
export interface RunningProcess {
  readonly stdin: Writable;
  readonly stdout: Readable;
  readonly stderr: Readable;
  /** The exit code, once all output has been read. Rejects when the connection is lost. */
  readonly ended: Promise<number>;
  /** Gives up on it without waiting: it then ends by its supervisor's own means. */
  abandon(): void;
}

/** More than any program prints that is driven here; what is longer is cut at the front. */
const KEPT_OUTPUT_BYTES = 64 * 1024 * 1024;
const KEPT_ERROR_BYTES = 256 * 1024;
/** The supervisor's grace, and a little for the way. */
const STOP_LIMIT_MS = 8_000;

/**
 * Sees a started command through to its end: hands over the environment, keeps the heartbeat, reads the output,
 * stops it when `signal` fires or the reader of its output goes away, and turns how it ended into a result or an error.
 */
export async function execute<T>(
  command: Command<T>,
  running: RunningProcess,
  host: string,
  signal: AbortSignal,
  options: RunOptions,
): Promise<T> {
  const secrets = Object.entries(command.secrets ?? {}).map(([name, secret]) => [name, secret.reveal()] as const);
  running.stdin.on('error', () => {}); // a program that ended early has closed it; its exit code tells more
  running.stdin.write(supervisorPreamble({ ...command.env, ...Object.fromEntries(secrets) }));
  const beat = (): boolean =>
    running.stdin.write(`${running.stdout.isPaused() ? HEARTBEAT.slowReader : HEARTBEAT.well}\n`);
  const heartbeat = setInterval(beat, HEARTBEAT_SECONDS * 1000);
  let giveUp: NodeJS.Timeout | undefined;
  const stop = (): void => {
    running.stdin.end();
    giveUp ??= setTimeout(() => running.abandon(), STOP_LIMIT_MS);
  };
  const { until } = options;
  for (const one of [signal, until]) one?.addEventListener('abort', stop, { once: true });
  if (signal.aborted || until?.aborted) stop();
  try {
    const errors = keep(running.stderr, KEPT_ERROR_BYTES);
    const { text, readerGone } = await readOutput(running.stdout, options, stop);
    const exitCode = await running.ended;
    if (signal.aborted) throw abortReason(signal);
    if (readerGone !== undefined)
      throw new DriverError('cancelled', 'the reader of the data went away', { cause: readerGone });
    const hidden = secrets.map(([, value]) => value);
    if (until?.aborted) return command.parse({ exitCode: 0, stdout: text(), stderr: '' });
    return settle(command, { exitCode, stdout: text(), stderr: conceal(errors(), hidden) }, host);
  } catch (error) {
    if (signal.aborted) throw abortReason(signal);
    throw error;
  } finally {
    clearInterval(heartbeat);
    clearTimeout(giveUp);
    for (const one of [signal, until]) one?.removeEventListener('abort', stop);
    running.stdin.end();
  }
}

/** The error with which an action was aborted. */
export function abortReason(signal: AbortSignal): DriverError {
  return signal.reason instanceof DriverError
    ? signal.reason
    : new DriverError('cancelled', 'the action was cancelled');
}

async function readOutput(stdout: Readable, options: RunOptions, stop: () => void) {
  if (options.output !== undefined)
    return { text: () => '', readerGone: await pump(stdout, options.output, options.onData, stop) };
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
): Promise<unknown> {
  let readerGone: unknown;
  const gone = (error?: unknown): void => {
    readerGone ??= error ?? new Error('closed');
    stop();
    stdout.resume();
  };
  output.once('error', gone).once('close', gone);
  stdout.on('error', () => {}); // a lost connection is told by `ended`
  stdout.on('data', (chunk: Buffer) => {
    if (readerGone !== undefined) return;
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

function keep(stream: Readable, limitBytes: number): () => string {
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
    const lines = (rest + decoder.write(chunk)).split('\n');
    rest = lines.pop() as string;
    for (const line of lines.filter((one) => one.trim() !== '')) {
      last = line;
      onLine(line);
    }
  });
  return () => (rest.trim() === '' ? last : rest);
}

function conceal(text: string, secrets: readonly string[]): string {
  return secrets.filter((secret) => secret.length > 2).reduce((shown, secret) => shown.replaceAll(secret, '***'), text);
}

function settle<T>(command: Command<T>, outcome: Outcome, host: string): T {
  const { exitCode } = outcome;
  if (exitCode === 0 || command.accept?.includes(exitCode)) return command.parse(outcome);
  throw command.classify?.(outcome, host) ?? generalFailure(command, outcome, host);
}

function generalFailure(command: Command<unknown>, { exitCode, stderr }: Outcome, host: string): DriverError {
  const [program] = command.argv;
  if (exitCode === SUPERVISOR_EXIT.stalled) {
    return new DriverError('stalled', `cannot ${command.purpose}: ${program} moved no data for the whole stall limit`, {
      host,
      hint: 'Check the network and the storage of the backup server, then try again',
    });
  }
  if (exitCode === SUPERVISOR_EXIT.stopped) {
    return new DriverError('cancelled', `cannot ${command.purpose}: ${program} was stopped from outside`, { host });
  }
  if (exitCode === 126 || exitCode === 127) {
    return new DriverError(
      'notFound',
      `cannot ${command.purpose}: the program ${missingProgram(stderr) ?? program} is missing`,
      {
        host,
        hint: 'Install it there, or run: onehost sync --force',
      },
    );
  }
  const how = exitCode > 128 ? `was killed by signal ${exitCode - 128}` : `ended with exit code ${exitCode}`;
  const said = lastLine(stderr);
  return new DriverError('failed', `cannot ${command.purpose}: ${program} ${how}${said === '' ? '' : `: ${said}`}`, {
    host,
  });
}

function missingProgram(stderr: string): string | undefined {
  return /(?:exec|execute|execvp|run) ['"]?([\w./-]+)['"]?:/.exec(stderr)?.[1];
}

/** The last line of a program's stderr that says something, without the shell's own words. */
function lastLine(stderr: string): string {
  const lines = stderr.split('\n').map((line) => line.trim());
  return lines.filter((line) => line !== '' && !/^(Terminated|Killed|Interrupt)$/.test(line)).at(-1) ?? '';
}
