import { realpath } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { quote } from '../command/quote';
import { runScript } from '../host/script';
import { formatMessage, withHidden } from '../opennebula/message-text';
import { usage } from './call';
import { DATASTORE_ATTRIBUTES } from './datastore-attributes';
import { nearestName } from './nearest';
import { ACTIONS, type OnedCall } from './oned-call';
import type { ControlContext, Option, Subcommand } from './subcommand';

const NAMES = Object.keys(ACTIONS);

const OPTIONS: readonly Option[] = [
  { name: 'vm', value: 'N', describe: 'The id of the VM' },
  { name: 'disk', value: 'D', describe: 'The id of a disk; may be given several times', many: true },
  {
    name: 'source',
    value: 'S',
    describe: 'SOURCE of a backup, as its action printed it; or the chain: ID:SOURCE,ID:SOURCE,...',
    many: true,
  },
  {
    name: 'increment',
    value: 'I',
    describe: 'The point in time; of a new backup its number in a chain (0 begins one)',
  },
  { name: 'image', value: 'N', describe: 'The id of the backup image (default 0); drivers only echo it' },
  { name: 'job', value: 'J', describe: 'The id of the backup job, if there is one' },
  { name: 'host', value: 'HOST', describe: 'The host on which the VM runs' },
  {
    name: 'dir',
    value: 'DIR',
    describe: "The folder of the VM on its host (default: OpenNebula's own)",
    completes: 'folder',
  },
  { name: 'system-ds', value: 'N', describe: 'The system datastore (default: that of DIR, or 0)' },
  { name: 'deploy-id', value: 'X', describe: 'What the hypervisor calls the VM (default: one-N)' },
  { name: 'keep-last', value: 'K', describe: 'How many backups a flatten leaves (default 1)' },
  { name: 'url', value: 'U', describe: 'The backup URL of a disk, as ls prints it' },
  { name: 'destination', value: 'N', describe: 'The image datastore of a restore' },
  { name: 'username', value: 'U', describe: 'To whom restored images belong (default oneadmin)' },
  { name: 'name', value: 'NAME', describe: 'The name of what is restored' },
  { name: 'no-ip', describe: 'Restore without IP addresses' },
  { name: 'no-nic', describe: 'Restore without network interfaces' },
  { name: 'print', describe: 'Show the message, secrets as ***, and the command; run nothing' },
  { name: 'dry-run', describe: 'Let the script show each command and its host; nothing is done' },
  { name: 'yes', describe: 'Do what destroys or ends something' },
];

/** run: calls an action of a driver as oned does. */
export const runAction: Subcommand = {
  name: 'run',
  summary: "Runs an action of a datastore's driver with the message that oned would send.",
  details:
    'The script beside backupctl is run, in this environment. Its stdout, stderr and exit code are those of this command. What a message holds beside the options, and no driver needs, is left at what a fresh object has.',
  positionals: [
    { name: 'ACTION', describe: NAMES.join(', '), completes: NAMES },
    { name: 'FILE|ID', describe: 'the template of the datastore, or its id', completes: 'file' },
  ],
  options: OPTIONS,
  opensDatastore: true,
  rest: 'further arguments for the script',
  examples: [
    { line: 'run monitor 104', meaning: 'the space of datastore 104' },
    {
      line: 'run ls backups.ds --id 104 --vm 7 --source 0:4f2c8c81,1:9a7b66d0',
      meaning: 'the disks of the newest of two backups, without oned',
    },
    {
      line: 'run backup 104 --host host1 --vm 7 --disk 0 --dry-run',
      meaning: 'what a backup of VM 7 would do, command by command',
    },
    { line: 'run rm 104 --vm 7 --source 4f2c8c81 --print', meaning: 'the message of oned for it, and the command' },
  ],
  async run(context) {
    const { line, screen, script, env, signal, frontEnd } = context;
    const name = line.word('ACTION');
    const action = Object.hasOwn(ACTIONS, name) ? ACTIONS[name] : undefined;
    if (action === undefined) throw unknownAction(name);
    const opened = await context.open(line.word('FILE|ID'));
    const call = action.make({ line, opened, varDir: frontEnd.varDir });
    const program = join(dirname(await realpath(script)), opened.driver.name, name);
    const flags = ['dry-run', 'verbose'].filter((flag) => line.flag(flag)).map((flag) => `--${flag}`);
    const argv: readonly [string, ...string[]] = [program, ...call.args, ...line.rest, ...flags];
    if (line.flag('print')) {
      print(call, argv, context);
      return 0;
    }
    if (action.destroys !== undefined && !line.flag('yes') && !line.flag('dry-run')) {
      throw usage('run', `${name} ${action.destroys}: look at it with --dry-run, and do it with --yes`);
    }
    await screen.flush();
    return runScript({ argv, stdin: stdinOf(call), env, signal });
  },
};

/** What oned writes to the script. */
function stdinOf({ message, packed }: OnedCall): string {
  const text = formatMessage(message);
  return packed ? Buffer.from(text).toString('base64') : text;
}

/** A secret under a misspelt name is one all the same: what nobody knows is shown only if it does not look like one. */
function isSecret(name: string, drivers: ControlContext['drivers']): boolean {
  const known = [...DATASTORE_ATTRIBUTES, ...drivers.flatMap(({ attributes }) => attributes)];
  const fact = known.find((one) => one.name === name);
  return fact === undefined ? /PASS|SECRET|KEY|TOKEN/i.test(name) : fact.secret === true;
}

function print({ message, packed }: OnedCall, argv: readonly string[], { screen, drivers }: ControlContext): void {
  screen.print(`${screen.paint('stdin', 'strong')}${packed ? ' (in base64, on one line)' : ''}:`);
  screen.text(
    formatMessage(
      withHidden(message, (name) => isSecret(name, drivers)),
      true,
    ).trimEnd(),
  );
  screen.print(`${screen.paint('command', 'strong')}:`);
  screen.print(quote(argv));
}

function unknownAction(name: string) {
  const what = `there is no action ${JSON.stringify(name.slice(0, 40))}`;
  const near = nearestName(name, NAMES);
  return near === undefined ? usage('run', `${what}. They are: ${NAMES.join(', ')}`) : usage('run', what, near);
}
