/**
 * A tour through a driver on this machine alone.
 *   npm run demo [-- --driver restic] [-- --keep]
 * Starts a private sshd as hypervisor host and backup server (for zfs, that is an emulated machine), and runs the built scripts as oned would. Ends with a table
 * and exit code 0 when everything was as it should be. --keep: the world stays up until Ctrl-C.
 */
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { DEMO_DRIVERS, type DemoDriver } from './drivers';
import { Stage, Surprise } from './stage';
import { tour } from './tour';
import { DemoWorld } from './world';

const SETUP = join(__dirname, '..', '..', 'build', 'setup.cjs');
const SIGNALS = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const;

interface Wishes {
  readonly driver: DemoDriver;
  readonly keep: boolean;
}

function wishes(args: readonly string[]): Wishes {
  const { values } = parseArgs({
    args: [...args],
    options: { driver: { type: 'string', default: 'restic' }, keep: { type: 'boolean', default: false } },
  });
  const driver = Object.hasOwn(DEMO_DRIVERS, values.driver) ? DEMO_DRIVERS[values.driver] : undefined;
  if (driver === undefined) {
    throw new Error(
      `there is no driver ${JSON.stringify(values.driver)}; there is: ${Object.keys(DEMO_DRIVERS).join(', ')}`,
    );
  }
  return { driver, keep: values.keep };
}

async function main({ driver, keep }: Wishes): Promise<number> {
  const abort = new AbortController();
  let killed = 0;
  for (const [name, number] of Object.entries(SIGNALS)) {
    process.on(name, () => {
      killed = number;
      abort.abort(new Surprise(`ended by ${name}`));
    });
  }
  if (driver.needs !== undefined) execFileSync(process.execPath, [SETUP, driver.needs], { stdio: 'inherit' });
  const started = Date.now();
  const world = await DemoWorld.start(driver);
  try {
    const stage = new Stage(world.env, world.desk, abort.signal);
    introduce(stage, world, driver, keep);
    const code = await perform(world, stage, driver, keep, abort.signal);
    if (abort.signal.aborted) stage.say(`\n${(abort.signal.reason as Surprise).message}; everything is removed.`);
    else {
      const seconds = ((Date.now() - started) / 1000).toFixed(0);
      stage.say(
        `\n${code === 0 ? 'Everything was as it should be' : 'Something was NOT as it should be'}; ${seconds} s in all.`,
      );
    }
    if (keep && !abort.signal.aborted) {
      stage.say(
        '\nThe world stays up: repeat any of the commands in another terminal, after the export lines of above.',
      );
      stage.say('Before rm ran, the datastore was copied; the copy is in place again. Ctrl-C ends and removes it all.');
      await once(abort.signal, 'abort');
    }
    return killed || code;
  } finally {
    await world.stop();
  }
}

function introduce(stage: Stage, world: DemoWorld, driver: DemoDriver, keep: boolean): void {
  stage.say(`The backup driver "${driver.name}", on this machine alone.`);
  stage.say(driver.world);
  stage.say('Messages of oned lie in files; oned itself passes them on stdin. Everything is in one temporary folder.');
  stage.say(`\nThe environment of every command${keep ? '' : ' (to repeat them by hand: npm run demo -- --keep)'}:\n`);
  for (const line of world.exports) stage.copyable(line);
}

async function perform(
  world: DemoWorld,
  stage: Stage,
  driver: DemoDriver,
  keep: boolean,
  signal: AbortSignal,
): Promise<number> {
  try {
    await tour(world, stage, driver, keep);
    stage.table();
    return 0;
  } catch (error) {
    if (signal.aborted) return 1;
    if (!(error instanceof Surprise)) throw error;
    stage.say(`\nNOT AS IT SHOULD BE: ${error.message}`);
    return 1;
  }
}

async function run(): Promise<number> {
  let asked: Wishes;
  try {
    asked = wishes(process.argv.slice(2));
  } catch (error) {
    process.stderr.write(`demo: ${(error as Error).message}\nusage: npm run demo -- [--driver NAME] [--keep]\n`);
    return 2;
  }
  return main(asked);
}

process.stdout.on('error', () => {}); // the terminal was closed: what there is to remove is removed all the same

run().then(
  (code) => process.exit(code),
  (error: unknown) => {
    process.stderr.write(`demo: ${error instanceof Error ? error.stack : String(error)}\n`);
    process.exit(1);
  },
);
