import { setTimeout as sleep } from 'node:timers/promises';
import { abortController } from '../abort';
import type { Driver } from '../engine/engine';
import { asDriverError, DriverError } from '../errors';
import { frontEndFrom } from '../opennebula/front-end';
import { CommandLine } from './call';
import { parseCommandLine } from './command-line';
import { Datastores, readTemplate } from './open-datastore';
import { Screen } from './screen';
import type { ControlContext, Subcommand } from './subcommand';

/** However much hangs, a cancelled subcommand has ended after this. */
const LAST_RESORT_MS = 9_000;
/** A closed connection ends within a moment; what does not is not waited for. */
const CLOSE_LIMIT_MS = 2_000;

/** The main program of backupctl, and its only place that touches the process. */
export async function runControl(subcommands: readonly Subcommand[], drivers: readonly Driver[]): Promise<void> {
  const env = process.env;
  const words = process.argv.slice(2);
  const screen = new Screen(
    { stdout: process.stdout, stderr: process.stderr },
    { verbose: words.includes('--verbose'), color: hasColour(words, env) },
  );
  process.removeAllListeners('warning'); // Node's own warnings are nothing that a user could mend
  process.on('uncaughtException', (error) => exitWith(asDriverError(error), screen));
  try {
    const line = await parseCommandLine(subcommands, words);
    const isCall = line instanceof CommandLine;
    if (!isCall) screen.text(line.text);
    const code = isCall ? await carryOut(line, screen, drivers, env) : 0;
    await screen.flush();
    process.exit(code);
  } catch (error) {
    await exitWith(asDriverError(error), screen);
  }
}

async function carryOut(
  line: CommandLine,
  screen: Screen,
  drivers: readonly Driver[],
  env: NodeJS.ProcessEnv,
): Promise<number> {
  const signal = abortOnSignals(line.subcommand.name, screen);
  const script = process.argv[1] ?? '';
  const means = { line, screen, frontEnd: frontEndFrom(env), env, signal, drivers };
  const datastores = new Datastores(means);
  const context: ControlContext = {
    ...{ ...means, script },
    open: (fileOrId) => datastores.open(fileOrId),
    openNew: (file) => datastores.openNew(file),
    template: (file) => readTemplate(file, drivers),
  };
  try {
    return await line.subcommand.run(context);
  } catch (error) {
    throw signal.aborted ? signal.reason : error;
  } finally {
    await Promise.race([datastores.close(), sleep(CLOSE_LIMIT_MS, undefined, { ref: false })]);
  }
}

async function exitWith(error: DriverError, screen: Screen): Promise<never> {
  screen.fail(error);
  await screen.flush();
  process.exit(error.exitCode);
}

/** What ends a subcommand early, as one signal. */
function abortOnSignals(name: string, screen: Screen): AbortSignal {
  const abort = abortController();
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
    process.on(signal, () => {
      const reason = new DriverError('cancelled', `backupctl ${name} was cancelled (${signal})`);
      abort.abort(reason);
      setTimeout(() => exitWith(reason, screen), LAST_RESORT_MS).unref();
    });
  }
  return abort.signal;
}

/** By the convention of no-color.org, and for terminals that cannot. */
function hasColour(words: readonly string[], env: NodeJS.ProcessEnv): boolean {
  const [own] = words.join('\n').split('\n--\n');
  return !own?.split('\n').includes('--no-color') && !env.NO_COLOR && env.TERM !== 'dumb';
}
