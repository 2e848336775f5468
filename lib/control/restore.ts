import { resolve } from 'node:path';
import { DriverError } from '../errors';
import type { Host } from '../host/host';
import { parseAbsolutePath, parseDiskId } from '../opennebula/ids';
import { sizeText } from './backup-texts';
import { usage } from './call';
import { prepareFolder } from './part-file';
import { findPoint, POINT_OPTIONS, wantedPoint } from './point-options';
import { planRestore, type RestorePlan, roomNeeded } from './restore-plan';
import { Restoring } from './restoring';
import type { ControlContext, Subcommand } from './subcommand';

/** restore: a VM's disks into a folder, without oned. */
export const restore: Subcommand = {
  name: 'restore',
  summary: 'Restores the disks of a VM, its vm.xml and a template for a new VM into a folder; needs no oned.',
  details:
    `Given a FILE, oned is not asked at all: this is for the day on which it is gone. What was restored and verified is
    not fetched again when the same command is repeated. Each file is complete when it has its name.`.replace(
      /\s+/g,
      ' ',
    ),
  positionals: [{ name: 'FILE|ID', describe: 'the template of a datastore, or its id', completes: 'file' }],
  options: [
    ...POINT_OPTIONS,
    {
      name: 'to',
      value: 'DIR',
      describe: 'Where its files go (required); made if it is not there',
      completes: 'folder',
    },
    { name: 'disk', value: 'D', describe: 'Only this disk', many: true },
    { name: 'format', value: 'F', describe: 'qcow2 (default) or raw', completes: ['qcow2', 'raw'] },
    { name: 'unchecked', describe: 'Compare with no checksums of manifests: what is damaged is restored, too' },
    { name: 'yes', describe: 'Replace files in DIR that this restore would make differently' },
    { name: 'json', describe: 'Print one JSON document' },
  ],
  opensDatastore: true,
  examples: [
    { line: 'restore backups.ds --id 100 --vm 7 --to /var/tmp/vm7', meaning: 'the newest backup of VM 7' },
    { line: 'restore 100 --vm 7 --at "2026-11-20 05:53" --to vm7', meaning: 'as it was then' },
    { line: 'restore 100 --vm 7 --disk 0 --format raw --to vm7', meaning: 'one disk, as a plain image' },
  ],
  findings: 'something of the backup, but no disk, could not be restored',
  async run(context) {
    const { line, screen } = context;
    const wanted = wantedPoint(line);
    const folder = parseAbsolutePath(
      resolve(line.required('to', (text) => text, 'the folder for the files')),
      '--to',
      'usage',
    );
    const format = line.text('format') ?? 'qcow2';
    if (format !== 'qcow2' && format !== 'raw')
      throw usage('restore', `--format is ${JSON.stringify(format)}, not qcow2 or raw`);
    const unchecked = line.flag('unchecked');
    const diskIds = line.texts('disk').map((text) => parseDiskId(text, '--disk', 'usage'));

    const opened = await context.open(line.word('FILE|ID'));
    const { chosen, inventory } = await findPoint(opened, wanted, screen, diskIds);
    const plan = await planRestore(chosen, { opened, inventory, folder, format, unchecked, diskIds });
    const removed = await prepareFolder(folder);
    if (removed.length > 0) screen.note(`removed what an interrupted restore had left: ${removed.join(', ')}`);
    const restoring = new Restoring(plan, opened, context);
    await restoring.refuseOthers(line.flag('yes'));
    await refuseFull(plan, restoring, context, opened.hosts().local);
    const files = await restoring.run();
    const { problems } = plan;
    if (line.flag('json')) screen.json({ folder, source: chosen.point.source, files, problems });
    else {
      const columns = [
        { title: 'FILE' },
        { title: 'SIZE', align: 'right' as const },
        { title: 'VERIFIED BY', wrap: true },
      ];
      screen.table(
        columns,
        files.map(({ name, sizeBytes, verified }) => [name, sizeText(sizeBytes), verified.join(', ')]),
      );
      if (plan.template !== undefined) screen.note(`for a new VM: ${restoring.nextSteps().join('; ')}`);
    }
    for (const problem of problems) screen.warn(problem);
    return problems.length === 0 ? 0 : 1;
  },
};

/** A disk that does not fit is not begun. */
async function refuseFull(
  { disks, folder }: RestorePlan,
  restoring: Restoring,
  { screen }: Pick<ControlContext, 'screen'>,
  local: Host,
): Promise<void> {
  const missing = disks.filter(({ name }) => !restoring.isThere(name));
  const needed = roomNeeded(missing);
  const { freeBytes } = await local.files.space(folder);
  if (needed > freeBytes) {
    const isRaw = missing.some(({ format }) => format === 'raw');
    const what = `the disks${isRaw ? ' and their conversion to raw' : ''} need ${sizeText(needed)}`;
    throw new DriverError('noSpace', `${folder} has ${sizeText(freeBytes)} free, ${what}`, {
      hint: `Choose another folder, ${isRaw ? '--format qcow2, ' : ''}or one disk at a time with --disk`,
    });
  }
  screen.debug(`${sizeText(needed)} are needed in ${folder}, ${sizeText(freeBytes)} are free`);
}
