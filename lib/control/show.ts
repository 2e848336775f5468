import { quote } from '../command/quote';
import { chainUpToPoint, dependantsOf, linksOf, type PlacedPoint } from '../engine/inventory-chains';
import { asDriverError, DriverError } from '../errors';
import { parseDiskFile } from '../opennebula/backup-url';
import { type DiskId, parseVmId } from '../opennebula/ids';
import { parseSource } from '../opennebula/increment';
import { healthText, pointText, sizeText, timeText } from './backup-texts';
import { backupDocument } from './list';
import type { OpenedDatastore } from './open-datastore';
import { inventoryOf, storedBackups } from './stored-backups';
import type { ControlContext, Subcommand } from './subcommand';
import { oneLine } from './table';

/** show: all of one backup. */
export const show: Subcommand = {
  name: 'show',
  summary: 'Shows one backup: its files, its chain, what needs it, its URLs, and how to restore it.',
  positionals: [
    { name: 'FILE|ID', describe: 'the template of a datastore, or its id', completes: 'file' },
    { name: 'SOURCE', describe: 'the name of the backup, as the list shows it, or its beginning' },
  ],
  options: [
    { name: 'vm', value: 'N', describe: 'Its VM: looks nowhere else, and is faster' },
    { name: 'json', describe: 'Print one JSON document' },
  ],
  opensDatastore: true,
  examples: [{ line: 'show 100 9a7b66d0', meaning: 'the backup 9a7b66d0' }],
  async run(context) {
    const { line, screen } = context;
    const source = parseSource(line.word('SOURCE'), 'SOURCE', 'usage');
    const opened = await context.open(line.word('FILE|ID'));
    const inventory = inventoryOf(opened);
    const { placed, failures } = await storedBackups(inventory, line.optional('vm', parseVmId));
    for (const { message } of failures) screen.warn(`not listed: ${message}`);
    const one = named(placed, source, failures);
    const [content, urls] = await Promise.all([inventory.inspect(one.point), urlsOf(one, opened)]);
    const told = { ...one, point: { ...one.point, ...content.point, timeMs: one.point.timeMs } };
    const restore = restoreLine(one, opened, context);
    if (line.flag('json')) {
      const { manifest = null, place, files } = content;
      screen.json({ ...backupDocument(told), place, files, manifest, urls, restore });
      return 0;
    }
    const { point } = told;
    const name = point.vmName === undefined ? '' : ` (${point.vmName})`;
    const facts: [string, string | undefined][] = [
      ['backup', `${pointText(point)}${name}, ${point.type}`],
      ['time', timeText(point.timeMs)],
      ['place', content.place],
      ['job', point.jobId?.toString()],
      ['image', point.imageId?.toString()],
      ['stored', sizeText(point.storedBytes)],
      ['manifest', content.manifest === undefined ? 'none' : `by ${content.manifest.driver}`],
      ['merged from', point.replaces.join(' ')],
      ['health', healthText(told)],
      [
        'needed by',
        dependantsOf(one)
          .map((other) => `${other.point.incrementId}:${other.point.source}`)
          .join(' '),
      ],
    ];
    for (const [title, value] of facts.filter(([, text]) => text))
      screen.print(`${title.padEnd(12)} ${oneLine(value ?? '')}`);
    screen.print('');
    const right = { align: 'right' as const };
    screen.table(
      [
        { title: 'FILE' },
        { title: 'DISK', ...right },
        { title: 'BYTES', ...right },
        { title: 'VIRTUAL', ...right },
        { title: 'SHA256' },
      ],
      content.files.map(({ name: file, sizeBytes, virtualSizeMb, sha256 }) => {
        const disk = parseDiskFile(file)?.diskId.toString() ?? '';
        return [file, disk, String(sizeBytes), virtualSizeMb === undefined ? '' : `${virtualSizeMb} MB`, sha256 ?? ''];
      }),
    );
    screen.print('');
    screen.table(
      [{ title: 'CHAIN', ...right }, { title: 'SOURCE' }, { title: 'TIME' }, { title: 'HEALTH', wrap: true }],
      linksOf(one).map((link) => {
        return [
          String(link.point.incrementId ?? '?'),
          link.point.source,
          timeText(link.point.timeMs),
          healthText(link),
        ];
      }),
    );
    screen.print('');
    for (const [disk, url] of Object.entries(urls)) screen.print(`${`URL ${disk}`.padEnd(12)} ${oneLine(url)}`);
    if (restore !== undefined) screen.print(`${'restore'.padEnd(12)} ${oneLine(restore)}`);
    return 0;
  },
};

function named(placed: readonly PlacedPoint[], source: string, failures: readonly DriverError[]): PlacedPoint {
  const found = placed.filter(({ point }) => point.source.startsWith(source));
  const exact = found.filter(({ point }) => point.source === source);
  const [one, ...others] = exact.length > 0 ? exact : found;
  // It may be where nobody could look.
  if (one === undefined)
    throw failures[0] ?? new DriverError('notFound', `nothing is stored as ${source}`, { hint: 'See: backupctl list' });
  if (others.length === 0) return one;
  const vms = [one, ...others].map(({ point }) => `${point.source} of VM ${point.vmId}`);
  throw new DriverError('notFound', `${source} may be any of: ${vms.join(', ')}`, {
    hint: 'Say more of it, or its --vm',
  });
}

/** The disks of it that can be restored: `[]`, all; undefined, none. */
function restorable({ broken, damaged, point }: PlacedPoint): DiskId[] | undefined {
  if (broken !== undefined) return undefined;
  if (damaged.size === 0) return [];
  const whole = point.disks.map(({ id }) => id).filter((id) => !damaged.has(id));
  return whole.length === 0 ? undefined : [...new Set(whole)];
}

/** The URLs of its disks; none of one that cannot be restored. */
async function urlsOf(one: PlacedPoint, { engine }: OpenedDatastore): Promise<Record<string, string>> {
  const { vmId, jobId } = one.point;
  const disks = restorable(one);
  if (disks === undefined) return {};
  const files = await engine()
    .files({ vmId, jobId, chain: chainUpToPoint(one) }, disks)
    .catch((error) => {
      if (['notFound', 'damaged'].includes(asDriverError(error).kind)) return undefined;
      throw error;
    });
  if (files === undefined) return {};
  const wanted = [...files.disks].filter(([id]) => disks.length === 0 || disks.includes(id));
  const urls = wanted.map(([id, { url }]) => [String(id), url]);
  return Object.fromEntries(files.tpm === undefined ? urls : [...urls, ['tpm', files.tpm.url]]);
}

function restoreLine(one: PlacedPoint, { datastore, from }: OpenedDatastore, { line }: ControlContext) {
  const { point } = one;
  const disks = restorable(one);
  if (disks === undefined) return undefined;
  const given = line.word('FILE|ID');
  const place = from === 'file' ? ['--id', String(datastore.id), '--base-path', datastore.basePath] : [];
  const only = disks.flatMap((id) => ['--disk', String(id)]);
  const which = ['--vm', String(point.vmId), '--source', point.source, ...only];
  return quote(['backupctl', 'restore', given, ...place, ...which, '--to', 'DIR']);
}
