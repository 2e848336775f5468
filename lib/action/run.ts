import { abortController } from '../abort';
import type { Driver } from '../engine/engine';
import { asDriverError, DriverError } from '../errors';
import { parseCommandLine } from './argv';
import { carryOut } from './carry-out';
import { Report } from './report';
import type { Verb } from './verb';

/** However much hangs, a cancelled action has ended after this; supervisors end what it leaves running elsewhere. */
const LAST_RESORT_MS = 9_000;

/**
 * The main program of every script, and the only place that touches the process: argv, environment, stdin and signals
 * in; stdout, stderr and an exit code out.
 */
export async function runAction(verb: Verb, driver: Driver): Promise<void> {
  const streams = { stdout: process.stdout, stderr: process.stderr };
  leaveRemovedFolder();
  process.removeAllListeners('warning'); // Node's own warnings would be lines for the user
  process.on('uncaughtException', (error) => exitWith(asDriverError(error), new Report(streams, true)));
  try {
    const line = await parseCommandLine(verb, process.argv[1] ?? '', process.argv.slice(2));
    if ('text' in line) {
      await new Promise((resolve) => process.stdout.write(`${line.text}\n`, resolve));
      process.exit(0);
    }
    const report = new Report(streams, line.verbose);
    const around = { env: process.env, stdin: () => process.stdin, signal: abortOnSignals(verb.name, report), report };
    process.exit(await carryOut(verb, driver, line, around));
  } catch (error) {
    exitWith(asDriverError(error), new Report(streams, false));
  }
}

/** Whose folder has been removed under him has none, and Node and yargs fail as soon as they ask for it. */
function leaveRemovedFolder(): void {
  try {
    process.cwd();
  } catch {
    process.chdir('/');
  }
}

function exitWith(error: DriverError, report: Report): never {
  report.fail(error);
  process.exit(error.exitCode);
}

/** What ends an action early, as one signal: a person, oned's own time limit, or backup_cancel. */
function abortOnSignals(verb: string, report: Report): AbortSignal {
  const abort = abortController();
  for (const name of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
    process.on(name, () => {
      const reason = new DriverError('cancelled', `${verb} was cancelled (${name})`);
      abort.abort(reason);
      setTimeout(() => exitWith(reason, report), LAST_RESORT_MS).unref();
    });
  }
  return abort.signal;
}
