import { quote } from '../command/quote';
import { asDriverError, DriverError } from '../errors';
import { OnedClient } from '../opennebula/client';
import { singleValue } from '../opennebula/datastore-document';
import type { TemplateAttribute } from '../opennebula/template-file';
import { formatTemplate, type TemplateEntry } from '../opennebula/template-text';
import { isVector } from './findings';
import { HOST_OPTION } from './known-machines';
import { formatFinding, lintFile } from './lint';
import type { TemplateOfFile } from './open-datastore';
import type { ControlContext, Subcommand } from './subcommand';

const LARGEST_ID = 2 ** 31 - 1;

/**
 * What has to be well before a datastore is registered, beside its template: returns 0, or the exit code with which
 * register ends, having said why. The datastore has no id yet.
 */
export type Precondition = (template: TemplateOfFile, context: ControlContext) => Promise<number>;

/** register: makes oned know a datastore. */
export function register(preconditions: readonly Precondition[]): Subcommand {
  return {
    name: 'register',
    summary: 'Creates a datastore in OpenNebula from a template, after checking it, and prints its id.',
    details:
      'The template is checked as by lint, the front-end and the backup server are examined as by doctor; an error or a failure ends it. Then oned is told, as the user of ONE_AUTH, and what the engine needs is made on the backup server. What is there already stays as it is.',
    positionals: [{ name: 'FILE', describe: 'the template of the datastore', completes: 'file' }],
    options: [
      HOST_OPTION,
      { name: 'cluster', value: 'ID', describe: 'The cluster of the datastore, instead of the default one' },
      { name: 'print', describe: 'Print the command of OpenNebula that does it, whatever is broken; do nothing' },
    ],
    examples: [
      { line: 'register backups.ds', meaning: 'prints 104, the id of the new datastore' },
      { line: 'register --print backups.ds', meaning: 'prints: onedatastore create backups.ds' },
    ],
    findings: 'the template has an error, or something that backups need is broken',
    run: (context) => run(context, preconditions),
  };
}

async function run(context: ControlContext, preconditions: readonly Precondition[]): Promise<number> {
  const { line, screen, frontEnd, signal } = context;
  const file = line.word('FILE');
  const cluster = line.integer('cluster', 0, LARGEST_ID);
  const findings = await lintFile(file, context);
  for (const finding of findings) screen.note(formatFinding(file, finding));
  if (findings.some(({ severity }) => severity === 'error')) return 1;
  const template = await context.template(file);
  const isPrint = line.flag('print');
  let code = 0;
  for (const holds of preconditions) {
    code ||= await holds(template, context);
    if (code !== 0 && !isPrint) return code;
  }
  if (isPrint) {
    screen.print(
      quote(['onedatastore', 'create', file, ...(cluster === undefined ? [] : ['--cluster', `${cluster}`])]),
    );
    return code; // what is broken was told: whoever runs that command knows it
  }
  const client = new OnedClient(await frontEnd.endpoint(), await frontEnd.session(), signal);
  await expectNewName(client, singleValue(template.attributes, 'NAME')?.trim() ?? '');
  const id = await client.allocateDatastore(formatTemplate(template.attributes.map(entryOf)), cluster);
  screen.print(String(id));
  await prepare(id, context);
  return 0;
}

/** oned refuses a second datastore of a name, too, but does not say what can be done. */
async function expectNewName(client: OnedClient, name: string): Promise<void> {
  const same = (await client.datastores()).find((one) => one.optionalTextOf('NAME') === name);
  if (same === undefined) return;
  const id = same.textOf('ID');
  throw new DriverError('config', `datastore ${id} has the NAME ${JSON.stringify(name)} already`, {
    hint: `Choose another NAME, or change that one with: onedatastore update ${id}`,
  });
}

/** What the engine needs on its server; without it the datastore stands all the same, and its first backup makes it. */
async function prepare(id: number, { open, screen, signal }: ControlContext): Promise<void> {
  try {
    const engine = (await open(String(id))).engine();
    if (engine.prepare !== undefined) screen.note(`datastore ${id} is registered, with ${await engine.prepare()}`);
  } catch (error) {
    const { kind, message } = asDriverError(signal.aborted ? signal.reason : error);
    throw new DriverError(kind, `datastore ${id} is registered, but not prepared on the backup server: ${message}`, {
      hint: 'The first backup does it, once that is mended',
      cause: error,
    });
  }
}

function entryOf({ name, value }: TemplateAttribute): TemplateEntry {
  return [name, isVector(value) ? value.map((member) => [member.name, member.value.text] as const) : value.text];
}
