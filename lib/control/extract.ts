import { lstat, rm } from 'node:fs/promises';
import { resolve } from 'node:path';
import { DriverError } from '../errors';
import { type AbsolutePath, joinPath, parseAbsolutePath } from '../opennebula/ids';
import { sizeText } from './backup-texts';
import { usage } from './call';
import type { Guest } from './guest';
import { GUEST_DETAILS, GUEST_OPTIONS, withGuestDisk } from './guest-disk';
import { parseGuestPath } from './guest-path';
import { PartFile, partName, prepareFolder, replaceBy } from './part-file';
import type { Screen } from './screen';
import type { Subcommand } from './subcommand';
import { TarFolder } from './tar-folder';

/** Something to copy out. */
interface Wanted {
  /** Where it is in the guest. */
  readonly path: string;
  /** What it is called here. */
  readonly name: string;
}

/** Something that was copied out. */
interface Extracted extends Wanted {
  readonly type: 'file' | 'folder';
  readonly sizeBytes: number;
  /** Of a file. */
  readonly sha256: string | null;
}

/** extract: files of a disk into a folder. */
export const extract: Subcommand = {
  name: 'extract',
  summary: 'Copies files and folders out of a disk in a backup, without restoring it.',
  details:
    `${GUEST_DETAILS} Each file, and each folder with all it holds, is complete when it has its name in DIR. All belongs
  to who runs this; set-id bits are dropped, devices and sockets left out, and links are copied as links.`.replace(
      /\s+/g,
      ' ',
    ),
  positionals: [
    { name: 'FILE|ID', describe: 'the template of a datastore, or its id', completes: 'file' },
    { name: 'PATH', describe: 'what to copy: files and folders of the guest', many: true },
  ],
  options: [
    ...GUEST_OPTIONS,
    { name: 'to', value: 'DIR', describe: 'Where it goes (required); made if it is not there', completes: 'folder' },
    { name: 'yes', describe: 'Replace what is in DIR by the same name' },
    { name: 'json', describe: 'Print one JSON document' },
  ],
  opensDatastore: true,
  examples: [
    { line: 'extract 100 --vm 7 --disk 0 /etc/fstab /home/ann --to out', meaning: 'a file and a folder' },
    { line: 'extract backups.ds --id 100 --vm 7 --increment 2 /etc --to out', meaning: 'as in increment 2' },
  ],
  async run(context) {
    const { line, screen } = context;
    const to = line.required('to', (text) => text, 'the folder for what is copied');
    const folder = parseAbsolutePath(resolve(to), '--to', 'usage');
    const wanted = line.words('PATH').map((text) => toWanted(parseGuestPath(text, 'PATH')));
    const twice = wanted.find(({ name }, index) => wanted.findIndex((one) => one.name === name) !== index);
    if (twice !== undefined) throw usage('extract', `two of these would be called ${twice.name} in ${to}`);
    const removed = await prepareFolder(folder);
    if (removed.length > 0) screen.note(`removed what an interrupted run had left: ${removed.join(', ')}`);
    if (!line.flag('yes')) await refuseOthers(folder, wanted);
    const done = await withGuestDisk(context, async ({ guest }) => {
      const found: Extracted[] = [];
      for (const one of wanted) found.push(await copyOut(one, folder, guest, screen));
      return found;
    });
    if (line.flag('json')) screen.json({ folder, extracted: done });
    else {
      screen.table(
        [
          { title: 'FROM', wrap: true },
          { title: 'SIZE', align: 'right' },
          { title: 'TO', wrap: true },
        ],
        done.map(({ path, sizeBytes, name, type }) => {
          return [path, sizeText(sizeBytes), `${folder}/${name}${type === 'folder' ? '/' : ''}`];
        }),
      );
    }
    return 0;
  },
};

function toWanted(path: string): Wanted {
  return { path, name: path.slice(path.lastIndexOf('/') + 1) || 'root' };
}

async function refuseOthers(folder: AbsolutePath, wanted: readonly Wanted[]): Promise<void> {
  for (const { name } of wanted) {
    const isThere = await lstat(joinPath(folder, name)).then(
      () => true,
      () => false,
    );
    if (isThere)
      throw new DriverError('failed', `${folder} holds ${name} already`, {
        hint: 'Choose another folder, or replace it with --yes',
      });
  }
}

/** Copies a file or a folder beside its place, and then gives it its name. */
async function copyOut(wanted: Wanted, folder: AbsolutePath, guest: Guest, screen: Screen): Promise<Extracted> {
  const { path, name } = wanted;
  const { realPath, entry } = await guest.find(path);
  screen.step(`copy ${path}`);
  if (entry.type === 'file') {
    const part = new PartFile(folder, name);
    try {
      await part.fill(
        (output) => guest.download(realPath, { output }),
        (bytes) => screen.transfer(bytes, entry.sizeBytes),
      );
      if (part.bytes !== entry.sizeBytes)
        throw new DriverError('failed', `${path} came with ${part.bytes} bytes, not ${entry.sizeBytes}`);
      await replaceBy(part.path, folder, name);
    } finally {
      await part.remove();
    }
    return { ...wanted, type: 'file', sizeBytes: part.bytes, sha256: part.sha256() };
  }
  if (entry.type !== 'folder') throw new DriverError('unsupported', `${path} is a ${entry.type}`);
  const part = joinPath(folder, partName(name));
  try {
    await rm(part, { recursive: true, force: true });
    const unpacked = new TarFolder(part);
    let bytes = 0;
    const onData = (more: number): void => {
      bytes += more;
      screen.transfer(bytes, 0);
    };
    await unpacked.fill((output) => guest.archive(realPath, { output, onData }));
    if (unpacked.skipped > 0) screen.note(`${path}: ${unpacked.skipped} devices and the like were left out`);
    await replaceBy(part, folder, name);
    return { ...wanted, type: 'folder', sizeBytes: unpacked.bytes, sha256: null };
  } finally {
    await rm(part, { recursive: true, force: true });
  }
}
