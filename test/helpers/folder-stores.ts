import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { quickenKey } from './quick-key';

/** What a driver has on the backup server, looked at past it. A folder is that of a VM (or job) there, unless told. */
export interface Store {
  /** The names of such folders in that of the datastore, sorted. */
  readonly places: (datastore: string) => string[];
  /** The names of the backups, sorted. */
  readonly stored: (folder: string) => string[];
  /** What holds them, a line each, which another content changes. */
  readonly content: (folder: string) => string[];
  /** What no finished action leaves there, nor beside it. */
  readonly leftovers: (folder: string) => string[];
  /** Makes the folder, if the first backup should find one. */
  readonly init: (folder: string, env: NodeJS.ProcessEnv) => void;
  /** What is wrong with it, every byte of it being read. */
  readonly damage: (folder: string, env: NodeJS.ProcessEnv) => string | undefined;
  /** How much has come of what is stored and of what is on its way. */
  readonly receivedKib: (folder: string) => number;
  /** What all of the datastore takes. */
  readonly usedMb: (datastore: string) => number;
  /** Keeps a copy of the datastore, and returns what brings it back. */
  readonly keep: (datastore: string) => () => void;
  /** What runs there for the login and is no process of this machine. */
  readonly running: () => string[];
}

const names = (folder: string): string[] => (existsSync(folder) ? readdirSync(folder).sort() : []);
const allNames = (folder: string): string[] =>
  existsSync(folder) ? readdirSync(folder, { recursive: true, encoding: 'utf8' }) : [];

/** What is the same for all that are folders of this machine. */
const folders = {
  places: names,
  content: (folder) => filesIn(folder, ['.']),
  init: () => {},
  receivedKib: (folder) => bytesOf(folder) / 1024,
  usedMb: (datastore) => bytesOf(datastore) / 2 ** 20,
  keep: (datastore) => {
    const kept = `${datastore}.kept`;
    execFileSync('cp', ['-a', datastore, kept]);
    return () => {
      execFileSync('rm', ['-rf', datastore]);
      execFileSync('cp', ['-a', kept, datastore]);
    };
  },
  running: () => [],
} satisfies Partial<Store>;

/** A repository for each VM or job. */
export const resticStore: Store = {
  ...folders,
  stored: (folder) => names(join(folder, 'snapshots')),
  // An index, and what it lists, may change.
  content: (folder) => filesIn(folder, ['data', 'snapshots']),
  leftovers: (folder) => [
    ...allNames(join(folder, 'locks')).map((name) => `locks/${name}`),
    ...allNames(folder).filter((name) => /-(restic-temp|tmp)-/.test(name) && !name.startsWith('locks/')),
    ...names(join(folder, '..')).filter((name) => name.includes('.new-')),
  ],
  init: (folder, env) => {
    restic(folder, env, 'init');
    quickenKey(folder, env.RESTIC_PASSWORD ?? '');
  },
  damage: (folder, env) => {
    const said = restic(folder, env, 'check', '--read-data');
    return /no errors were found/.test(said) ? undefined : said;
  },
};

/** A folder for each backup in that of its VM. */
export const rsyncStore: Store = {
  ...folders,
  stored: (folder) => names(folder).filter((name) => !name.startsWith('.')),
  leftovers: (folder) => names(folder).filter((name) => name.startsWith('.')),
  damage: (folder) =>
    rsyncStore
      .stored(folder)
      .map((name) => notAsListed(join(folder, name)))
      .find(Boolean),
};

/** The files below some of a folder's folders: their sizes and paths. */
function filesIn(folder: string, below: readonly string[]): string[] {
  const script = '{ cd "$0" && find "$@" -type f -printf "%s %p\\n"; } 2>/dev/null || true';
  const said = execFileSync('sh', ['-c', script, folder, ...below], { encoding: 'utf8' });
  return said
    .split('\n')
    .filter((line) => line !== '')
    .sort();
}

function bytesOf(path: string): number {
  if (!existsSync(path)) return 0;
  // What is renamed or removed meanwhile is an error to du, and none to us.
  const { stdout } = spawnSync('du', ['-s', '--block-size=1', '--apparent-size', path], { encoding: 'utf8' });
  return Number.parseInt(stdout, 10);
}

function restic(folder: string, env: NodeJS.ProcessEnv, ...args: readonly string[]): string {
  const program = process.env.RESTIC_UNDER_TEST ?? 'restic';
  const { status, stdout, stderr } = spawnSync(program, ['-r', folder, '--no-cache', ...args], {
    env,
    encoding: 'utf8',
  });
  return status === 0 ? stdout : `${args[0]} ended with ${status}: ${stdout}${stderr}`;
}

/** Says which file of a backup is not what its manifest says. */
function notAsListed(backup: string): string | undefined {
  const files = names(backup);
  if (!files.includes('manifest.json')) return `${backup} has no manifest`;
  const { files: listed } = JSON.parse(readFileSync(join(backup, 'manifest.json'), 'utf8')) as {
    files: { name: string; sizeBytes: number; sha256: string }[];
  };
  const wanted = [...listed.map(({ name }) => name), 'manifest.json'].sort();
  if (wanted.join() !== files.join()) return `${backup} holds ${files}, and should hold ${wanted}`;
  for (const { name, sizeBytes, sha256 } of listed) {
    const content = readFileSync(join(backup, name));
    if (content.length !== sizeBytes) return `${backup}/${name} has ${content.length} bytes, not ${sizeBytes}`;
    if (createHash('sha256').update(content).digest('hex') !== sha256) return `${backup}/${name} is not what was sent`;
  }
  return undefined;
}
