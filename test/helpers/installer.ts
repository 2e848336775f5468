import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { layOut } from '../../build/package';
import { makeStockVar } from './stock-var';

/** How the installer ended. */
export interface InstallerRun {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A folder for a test: what an administrator unpacks, and a front-end's VAR that is copied for each test. */
export type InstallerWorld = Awaited<ReturnType<typeof startInstallerWorld>>;

/** What tap and this machine put into the environment of children is no part of what an administrator has. */
const PLAIN = ['-u', 'NODE_OPTIONS', '-u', 'NODE_EXTRA_CA_CERTS', '-u', 'ONE_LOCATION', 'LANG=C'];

/** Lays out the packaged installer. `scripts` names the scripts that it brings; all of them when undefined. */
export async function startInstallerWorld(scripts?: readonly string[]) {
  const folder = mkdtempSync(join(tmpdir(), 'one-backup-install-'));
  chmodSync(folder, 0o755);
  const unpacked = join(folder, 'unpacked');
  await layOut(unpacked);
  const source = join(unpacked, 'datastore');
  if (scripts !== undefined) {
    const files = readdirSync(source, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
    const paths = files.map((entry) => join(entry.parentPath, entry.name));
    for (const path of paths.filter((name) => !scripts.some((script) => name.endsWith(`/datastore/${script}`))))
      rmSync(path);
  }
  const pristine = join(folder, 'pristine');
  makeStockVar(pristine);
  const program = join(unpacked, 'install');
  let number = 0;
  return {
    folder,
    unpacked,
    source,
    pristine,
    /** A copy of the front-end's VAR, or of another, the same to the nanosecond. */
    newVar(from = pristine): string {
      const varDir = join(folder, `var${number++}`);
      spawnSync('cp', ['--archive', from, varDir]);
      return varDir;
    },
    /** Runs the installer to its end; `before` goes in front of it, such as a program that changes the user. */
    install(varDir: string, words: readonly string[] = [], before: readonly string[] = []): InstallerRun {
      const conf = words.includes('--conf') || words.includes('--uninstall') ? [] : ['--conf', confIn(folder)];
      return runPlain([...before, program, '--var', varDir, ...conf, ...words]);
    },
    /** Starts the installer in a process group of its own. */
    start(varDir: string, words: readonly string[] = [], other = program): ChildProcess {
      return spawn('env', [...PLAIN, other, '--var', varDir, ...words], { detached: true, stdio: 'ignore' });
    },
    stop(): void {
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** Runs a program with a plain environment to its end. */
export function runPlain(words: readonly string[], env: readonly string[] = []): InstallerRun {
  const { status, stdout, stderr } = spawnSync('env', [...PLAIN, ...env, ...words], { encoding: 'utf8', cwd: '/' });
  return { code: status, stdout, stderr };
}

/** An oned.conf that needs nothing, so that the machine's own has no say. */
function confIn(folder: string): string {
  const path = join(folder, 'complete.conf');
  writeFileSync(path, COMPLETE_CONF);
  return path;
}

/** Has all that restic, rsync and zfs need. */
export const COMPLETE_CONF = `
DATASTORE_MAD = [
    EXECUTABLE = "one_datastore",
    ARGUMENTS  = "-t 15 -d dummy,fs,restic,rsync,zfs -s shared,ssh"
]
DATASTORE_ENCRYPTED_ATTR = "RESTIC_PASSWORD"
DATASTORE_ENCRYPTED_ATTR = "RESTIC_S3_SECRET_ACCESS_KEY"
DS_MAD_CONF = [ NAME = "restic", REQUIRED_ATTRS = "RESTIC_PASSWORD", PERSISTENT_ONLY = "YES" ]
DS_MAD_CONF = [ NAME = "rsync", REQUIRED_ATTRS = "RSYNC_HOST,RSYNC_USER", PERSISTENT_ONLY = "YES" ]
DS_MAD_CONF = [ NAME = "zfs", REQUIRED_ATTRS = "ZFS_HOST,ZFS_DATASET", PERSISTENT_ONLY = "YES" ]
`;
