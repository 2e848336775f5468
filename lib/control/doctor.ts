import { printReport, type Row, remedy, reportJson, rowsOf } from './doctor-report';
import { examineDatastore } from './examine-datastore';
import { HOST_OPTION, namedHosts, stagingFolders } from './known-machines';
import type { TemplateOfFile } from './open-datastore';
import type { Precondition } from './register';
import type { ControlContext, Subcommand } from './subcommand';

/** doctor: finds out why backups fail, before they do. */
export const doctor: Subcommand = {
  name: 'doctor',
  summary: 'Examines every link that a backup needs, and says what mends those that are broken.',
  details:
    `On the front-end, the backup server and all hosts at once: names, logins, host keys, the forwarded agent, clocks,
    programs and their versions, folders and their room, oned.conf, and what the driver needs beside that. It changes nothing;
    into each folder it writes a small file, and removes it. Commands that mend stand behind a prompt: $ is for a shell of the
    front-end, as the user who runs this, HOST$ for one of that machine; # is for root. A FILE without --id is examined as
    register does it.`.replace(/\s+/g, ' '),
  positionals: [{ name: 'FILE|ID', describe: 'the template of a datastore, or its id', completes: 'file' }],
  options: [
    HOST_OPTION,
    { name: 'problems', describe: 'Leave out what is well' },
    { name: 'json', describe: 'Print one JSON document' },
  ],
  opensDatastore: true,
  examples: [
    { line: 'doctor 100', meaning: 'all that the backups of datastore 100 need' },
    { line: 'doctor backups.ds --host host1', meaning: 'before it is registered, from one host' },
    { line: 'doctor 100 --problems', meaning: 'only what is wrong, and what mends it' },
  ],
  findings: 'something is broken; warnings alone are none of it',
  async run(context) {
    const { line, screen } = context;
    const which = line.word('FILE|ID');
    const isNew = !/^[0-9]+$/.test(which) && line.text('id') === undefined && line.text('base-path') === undefined;
    if (isNew) screen.note('without --id N nothing is examined that only a registered datastore has');
    const opened = await (isNew ? context.openNew(which) : context.open(which));
    const machines = await examineDatastore(opened, context);
    const rows = rowsOf(machines);
    if (line.flag('json')) screen.json(reportJson(machines));
    else printReport(rows, line.flag('problems') ? isProblem : () => true, screen);
    return rows.some(({ state }) => state === 'failure') ? 1 : 0;
  },
};

/** For register: the front-end and the backup server, and the hosts that the call names. */
export const examined: Precondition = async (template: TemplateOfFile, context: ControlContext) => {
  const { screen, line, frontEnd } = context;
  const opened = await context.openNew(template.file);
  const hosts = namedHosts(line);
  const machines = await examineDatastore(opened, context, { hosts, stagingFolders: await stagingFolders(frontEnd) });
  const problems = rowsOf(machines).filter(isProblem);
  for (const row of problems) {
    const { state, where, what, says } = row;
    screen.note(`${state}: ${where.name}: ${what}: ${says}`);
    for (const text of remedy(row, Number.POSITIVE_INFINITY)) screen.note(text);
  }
  return problems.some(({ state }) => state === 'failure') ? 1 : 0;
};

function isProblem({ state }: Row): boolean {
  return state === 'failure' || state === 'warning';
}
