import type { Readable } from 'node:stream';
import type { Driver, Engine } from '../engine/engine';
import { asDriverError, DriverError } from '../errors';
import { DryHosts, type Hosts } from '../host/hosts';
import { type Datastore, parseDatastore } from '../opennebula/datastore';
import type { Element } from '../opennebula/document';
import { type FrontEnd, frontEndFrom } from '../opennebula/front-end';
import type { CommandLine } from './argv';
import { readMessage } from './message';
import { realHosts } from './real-hosts';
import type { Report } from './report';
import type { Verb, VerbContext } from './verb';

/** A closed connection ends within a moment; what does not is not waited for. */
const CLOSE_LIMIT_MS = 2_000;

/** The outside of an action: what run.ts takes from the process. */
export interface Surroundings {
  readonly env: NodeJS.ProcessEnv;
  readonly stdin: () => Readable;
  readonly signal: AbortSignal;
  readonly report: Report;
}

/** Carries an action out, and returns its exit code. Throws nothing: every failure has been reported. */
export async function carryOut(verb: Verb, driver: Driver, line: CommandLine, around: Surroundings): Promise<number> {
  const { report, signal } = around;
  let hosts: Hosts | undefined;
  try {
    const frontEnd = frontEndFrom(around.env);
    const read = (): Promise<Element> => readMessage(line.messageFile, around.stdin, signal);
    const message = await (verb.message === undefined ? read() : verb.message({ line, frontEnd, signal, read }));
    hosts = openHosts(verb, driver, line, around, frontEnd, message);
    const context = contextOf(driver, line, around, frontEnd, message, hosts);
    const answer = await verb.run(context);
    if (signal.aborted && verb.undo !== undefined) {
      await verb.undo(context, answer); // too late to be stopped, but not too late to be undone
      throw signal.reason;
    }
    if (line.dryRun) {
      report.plan('Nothing was done (--dry-run).');
      await report.reply([]);
    } else if (!(await report.reply(answer))) {
      await verb.undo?.(context, answer);
      throw new DriverError('oned', `${verb.name} was done, but nobody read the answer`, {
        hint: 'oned has stopped meanwhile',
      });
    }
    return 0;
  } catch (error) {
    const known = asDriverError(signal.aborted ? signal.reason : error);
    report.fail(known);
    return known.exitCode;
  } finally {
    await Promise.race([hosts?.close(), new Promise((resolve) => setTimeout(resolve, CLOSE_LIMIT_MS))]);
  }
}

function openHosts(
  verb: Verb,
  driver: Driver,
  line: CommandLine,
  around: Surroundings,
  frontEnd: FrontEnd,
  message: Element | undefined,
): Hosts {
  const { report, signal, env } = around;
  if (line.dryRun) return new DryHosts((text) => report.plan(text));
  const element = message === undefined ? undefined : findDatastore(message);
  const datastore = element === undefined ? undefined : parseDatastore(element, driver.name);
  return realHosts({ driver, datastore, frontEnd, env, signal, report, marker: verb.marker?.(line.argument) });
}

function contextOf(
  driver: Driver,
  line: CommandLine,
  { report, signal }: Surroundings,
  frontEnd: FrontEnd,
  message: Element | undefined,
  hosts: Hosts,
): VerbContext {
  const theMessage = (): Element => {
    if (message === undefined) throw new DriverError('internal', 'this action has no message');
    return message;
  };
  const datastore = (): Datastore => {
    const element = findDatastore(theMessage());
    if (element === undefined) throw new DriverError('message', 'the message has no DATASTORE');
    return parseDatastore(element, driver.name);
  };
  let engine: Engine | undefined;
  const open = (): Engine => {
    engine ??= driver.open({
      ...{ datastore: datastore(), hosts, signal, dryRun: line.dryRun },
      progress: (done, total) => report.transfer(done, total),
      log: (text) => report.log(text),
    });
    return engine;
  };
  return {
    ...{ argument: line.argument, flag: line.flag, dryRun: line.dryRun, script: line.script },
    ...{ hosts, report, frontEnd, signal, driver, datastore, engine: open },
    get message() {
      return theMessage();
    },
  };
}

/** A message holds a datastore, or is one: oned's own API answers with that. */
function findDatastore(message: Element): Element | undefined {
  return message.name === 'DATASTORE' ? message : message.find('DATASTORE');
}
