import type { Readable, Writable } from 'node:stream';
import type { Command, Outcome } from '../command/command';
import { bindsAnswer, HEARTBEAT, HEARTBEAT_SECONDS, SUPERVISOR_EXIT, supervisorPreamble } from '../command/supervise';
import { DriverError } from '../errors';
import type { RunOptions } from './host';
import { keep, readOutput } from './output';

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
  const stopping = new AbortController();
  const stop = (): void => {
    stopping.abort();
    clearInterval(heartbeat); // a word after the end would close the channel under a program that is cleaning up
    running.stdin.end();
    running.stdout.resume(); // nobody waits for its output any more, and its end must be seen
    giveUp ??= setTimeout(() => running.abandon(), STOP_LIMIT_MS);
  };
  const { until } = options;
  for (const one of [signal, until]) one?.addEventListener('abort', stop, { once: true });
  if (signal.aborted || until?.aborted) stop();
  try {
    const errors = keep(running.stderr, KEPT_ERROR_BYTES);
    const { text, readerGone } = await readOutput(running.stdout, options, stop, stopping.signal);
    const exitCode = await running.ended;
    if (signal.aborted) throw abortReason(signal);
    if (readerGone !== undefined)
      throw new DriverError('cancelled', 'the reader of the data went away', { cause: readerGone });
    const hidden = secrets.map(([, value]) => value);
    if (until?.aborted) return command.parse({ exitCode: 0, stdout: text(), stderr: '' });
    return settle(command, { exitCode, stdout: text(), stderr: conceal(bindsAnswer(errors()).rest, hidden) }, host);
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
  if (exitCode === SUPERVISOR_EXIT.stopped) {
    return new DriverError('cancelled', `cannot ${command.purpose}: ${program} was stopped from outside`, { host });
  }
  if (exitCode === 126 || exitCode === 127) {
    return new DriverError(
      'noProgram',
      `cannot ${command.purpose}: the program ${missingProgram(stderr) ?? program} is missing`,
      {
        host,
        hint: 'Install it there; restic comes to hypervisor hosts with: onehost sync --force',
      },
    );
  }
  const how = exitCode > 128 ? `was killed by signal ${exitCode - 128}` : `ended with exit code ${exitCode}`;
  const said = lastLine(stderr);
  if (/no space left on device|disk quota exceeded/i.test(stderr)) {
    return new DriverError('noSpace', `cannot ${command.purpose}: no space is left: ${said}`, {
      host,
      hint: 'Free some space there and try again',
    });
  }
  if (/read-only file ?system/i.test(stderr)) {
    return new DriverError('failed', `cannot ${command.purpose}: the filesystem is read-only: ${said}`, {
      host,
      hint: 'Make it writable there; of ZFS: zfs set readonly=off DATASET',
    });
  }
  if (exitCode === SUPERVISOR_EXIT.stalled) {
    const what = `cannot ${command.purpose}: ${program} moved no data for the whole stall limit`;
    return new DriverError('stalled', said === '' ? what : `${what}, and said last: ${said}`, {
      host,
      hint: 'Check the network and the storage of the backup server, then try again',
    });
  }
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
  return (
    lines
      .filter(
        (line) => line !== '' && !/^(Terminated|Killed|Interrupt)$|^one-backup-supervisor: (line )?[0-9]+:/.test(line),
      )
      .at(-1) ?? ''
  );
}
