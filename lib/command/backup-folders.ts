import { DriverError } from '../errors';
import type { AbsolutePath, VmId } from '../opennebula/ids';
import type { Command, Outcome } from './command';

/** A backup that is a folder `<VM_ID>/<SOURCE>` of plain files. */
export interface BackupFolder {
  readonly vmId: string;
  readonly source: string;
  readonly modifiedMs: number;
  readonly files: readonly { readonly name: string; readonly sizeBytes: number; readonly modifiedMs: number }[];
  /** The text of manifest.json. */
  readonly manifest: string | undefined;
}

const NO_FOLDER = 3;

/**
 * All folders and files in two passes, whatever their number: names, sizes and times, then the manifests, each on one line
 * (JSON knows line ends only between its words). What begins with a dot is no backup.
 */
const SCRIPT = `
cd -- "$1" 2>/dev/null || exit ${NO_FOLDER}
name=$2; shift 2
if [ -n "$name" ]; then set -- "./$name"; else set -- ./[0-9]*; fi
[ -d "$1" ] || exit 0
find "$@" -mindepth 1 -maxdepth 2 -name '.*' -prune -o '(' -type d -o -type f ')' -printf '%y\\t%s\\t%T@\\t%p\\n'
find "$@" -mindepth 2 -maxdepth 2 -name manifest.json -type f -size -2048k -exec awk '
  FNR == 1 { printf "\\nm\\t%s\\t", FILENAME }
  { printf "%s ", $0 }' {} +`;

/** Lists all backups below a folder, or those of one VM, with their manifests. Throws `notFound`. */
export function listBackupFolders(datastore: AbsolutePath, vmId: VmId | undefined): Command<BackupFolder[]> {
  return {
    argv: ['sh', '-c', SCRIPT.trim(), 'one-backup-list', datastore, vmId === undefined ? '' : String(vmId)],
    purpose: 'list the backups',
    dryRun: [],
    parse: parseFolders,
    classify: ({ exitCode }, host) =>
      exitCode === NO_FOLDER
        ? new DriverError('notFound', `the datastore has no folder ${datastore}`, {
            host,
            hint: 'Nothing was backed up yet, or its BASE_PATH (--base-path, --id) is another one',
          })
        : undefined,
  };
}

function parseFolders({ stdout }: Outcome): BackupFolder[] {
  const found = new Map<string, { modifiedMs: number; files: BackupFolder['files'][number][]; manifest?: string }>();
  for (const line of stdout.split('\n')) {
    const [kind, first = '', time = '', path = ''] = line.split('\t');
    if (kind === 'm') {
      const [, vmId, source] = first.split('/');
      const folder = found.get(`${vmId}/${source}`);
      if (folder !== undefined) folder.manifest = line.slice(line.indexOf('\t', 2) + 1);
      continue;
    }
    const [, vmId, source, name] = path.split('/');
    if (vmId === undefined || source === undefined || !/^[0-9]{1,10}$/.test(vmId) || !/^[A-Za-z0-9]+$/.test(source))
      continue;
    const modifiedMs = Math.round(Number(time) * 1000);
    const key = `${vmId}/${source}`;
    if (kind === 'd' && name === undefined) found.set(key, { modifiedMs, files: [] });
    if (kind === 'f' && name !== undefined) found.get(key)?.files.push({ name, sizeBytes: Number(first), modifiedMs });
  }
  return [...found].map(([key, folder]) => {
    const [vmId = '', source = ''] = key.split('/');
    return { ...folder, vmId, source, manifest: folder.manifest };
  });
}
