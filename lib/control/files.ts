import { sizeText, timeText } from './backup-texts';
import type { GuestEntry } from './guest';
import { GUEST_DETAILS, GUEST_OPTIONS, withGuestDisk } from './guest-disk';
import { parseGuestPath } from './guest-path';
import type { Subcommand } from './subcommand';

const LETTERS: Readonly<Record<GuestEntry['type'], string>> = {
  file: '-',
  folder: 'd',
  link: 'l',
  device: 'b',
  pipe: 'p',
  socket: 's',
  '?': '?',
};

/** files: what is in a folder of a disk. */
export const files: Subcommand = {
  name: 'files',
  summary: 'Lists a folder of a disk in a backup, without restoring it.',
  details: GUEST_DETAILS,
  positionals: [
    { name: 'FILE|ID', describe: 'the template of a datastore, or its id', completes: 'file' },
    { name: 'PATH', describe: 'the folder, or file, in the guest (default: /)', optional: true },
  ],
  options: [...GUEST_OPTIONS, { name: 'json', describe: 'Print one JSON document' }],
  opensDatastore: true,
  examples: [
    { line: 'files 100 --vm 7 --disk 0 /etc', meaning: 'the folder /etc of the newest backup' },
    { line: 'files 100 --vm 7 --disk 1 --filesystem /dev/sda2', meaning: 'the second partition of a disk for data' },
    { line: 'files backups.ds --id 100 --vm 7 --at 2026-11-20 /home', meaning: 'as it was that day, without oned' },
  ],
  async run(context) {
    const { line, screen } = context;
    const path = parseGuestPath(line.words('PATH')[0] ?? '/', 'PATH');
    return withGuestDisk(context, async ({ guest, vmId, source, diskId }) => {
      const { realPath, entry } = await guest.find(path);
      const entries = entry.type === 'folder' ? await guest.list(realPath) : [entry];
      if (line.flag('json')) {
        const told = entries.map(({ mode, modifiedAt, ...rest }) => ({
          ...rest,
          mode: mode.toString(8).padStart(4, '0'),
          modified: new Date(modifiedAt * 1000).toISOString(),
        }));
        screen.json({ vm: vmId, source, disk: diskId, shown: guest.shown, path: realPath, entries: told });
        return 0;
      }
      screen.note(`${realPath} of ${guest.shown}`);
      const columns = [
        { title: 'MODE' },
        { title: 'SIZE', align: 'right' as const },
        { title: 'MODIFIED' },
        { title: 'NAME', wrap: true },
      ];
      screen.table(columns, entries.map(rowOf));
      return 0;
    });
  },
};

function rowOf({ name, type, sizeBytes, mode, modifiedAt }: GuestEntry): string[] {
  if (type === '?') return ['?', '', '', name];
  const size = type === 'file' ? sizeText(sizeBytes) : '';
  return [modeText(type, mode), size, timeText(modifiedAt * 1000), type === 'folder' ? `${name}/` : name];
}

/** `drwxr-xr-x`, as ls(1) writes it; set-id bits and the like do not show. */
function modeText(type: GuestEntry['type'], mode: number): string {
  const bits = [...'rwxrwxrwx'].map((letter, index) => ((mode >> (8 - index)) & 1 ? letter : '-'));
  return `${LETTERS[type]}${bits.join('')}`;
}
