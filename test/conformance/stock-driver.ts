import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import type { Snapshot } from '../../lib/command/restic-output';

/** One backup as oned knows it. */
export interface Known {
  readonly id: number;
  readonly source: string;
}

/** What OpenNebula's own driver does with one repository, step by step as its scripts do it; none of lib is used. */
export class StockDriver {
  readonly repository: string;
  readonly #env: NodeJS.ProcessEnv;

  constructor(repository: string, password: string, cache: string) {
    this.repository = repository;
    this.#env = { PATH: process.env.PATH, HOME: cache, RESTIC_PASSWORD: password, XDG_CACHE_HOME: cache, TZ: 'UTC' };
  }

  /** Runs restic, the global options in front as the scripts have them, and returns its stdout. */
  restic(globals: readonly string[], ...args: readonly string[]): Buffer {
    const line = [...globals, `--repo=${this.repository}`, ...args];
    return execFileSync('restic', line, { env: this.#env, maxBuffer: 2 ** 28, stdio: ['ignore', 'pipe', 'pipe'] });
  }

  init(): void {
    this.restic([], 'init');
  }

  /** backup: the files disk.* and vm.xml of the folder, one by one; or, as it was once, the folder itself. */
  backUp(vmId: number, folder: string, files: 'files' | 'folder' = 'files'): string {
    const disks = readdirSync(folder).filter((name) => name.startsWith('disk.'));
    const named = [...disks.sort(), 'vm.xml'].map((name) => join(folder, name));
    return this.#store(['--force', `--tag=one-${vmId}`], files === 'files' ? named : [folder]);
  }

  /** Lays a folder of files where a VM's staging folder is, and backs it up. */
  backUpCopy(vmId: number, from: string, staging: string, files: 'files' | 'folder' = 'files'): string {
    rmSync(staging, { recursive: true, force: true });
    cpSync(from, staging, { recursive: true });
    const source = this.backUp(vmId, staging, files);
    rmSync(staging, { recursive: true, force: true });
    return source;
  }

  /** The snapshots of these sources; all of them if there are none. Sorted by time, as restic does. */
  snapshots(...sources: readonly string[]): Snapshot[] {
    return JSON.parse(this.restic([], 'snapshots', ...sources, '--no-lock', '--json').toString()) as Snapshot[];
  }

  dump(source: string, path: string): Buffer {
    return this.restic(['--quiet'], 'dump', source, path);
  }

  /** increment_flatten: dumps to the original paths, merges in place, stores under the time of the last one merged. */
  flatten(vmId: number, chain: readonly Known[], keepLast: number): Known[] {
    const merged = chain.slice(0, chain.length - keepLast + 1);
    const last = this.snapshots(merged[merged.length - 1]?.source ?? '')[0] as Snapshot;
    const disks = last.paths.filter((path) => /^disk\.\d/.test(basename(path)));
    const vmXml = last.paths.find((path) => basename(path) === 'vm.xml') ?? '';
    const folder = dirname(vmXml);
    mkdirSync(folder, { recursive: true });
    for (const path of disks) {
      const index = basename(path).split('.')[1] ?? '';
      const files = this.#pull(merged, index, (one) => one);
      for (const [at, file] of files.entries()) if (at > 0) rebase(files[at - 1] ?? '', file);
      execFileSync('qemu-img', ['convert', '-O', 'qcow2', path, `${path}.tmp`]);
      execFileSync('mv', [`${path}.tmp`, path]);
    }
    execFileSync('tee', [vmXml], { input: this.dump(last.id, vmXml), stdio: ['pipe', 'ignore', 'inherit'] });
    const time = last.time.slice(0, 19).replace('T', ' ');
    const source = this.#store(['--force', `--tag=one-${vmId}`, `--time=${time}`], [...disks, vmXml]);
    rmSync(folder, { recursive: true });
    this.restic([], 'forget', ...merged.map((one) => one.source), '--prune', '--max-unused=0');
    return [{ id: merged[merged.length - 1]?.id ?? 0, source }, ...chain.slice(merged.length)];
  }

  /** The downloader: reads a backup URL and leaves the merged disk in a file. */
  download(url: string): string {
    const [, , datastore, , chain, ...rest] = url.split('/');
    if (datastore === undefined || !/(\d+)\/backup\//.test(`${rest.join('/')}`)) throw new Error(`a bad URL: ${url}`);
    const known = (chain ?? '')
      .split(',')
      .map((pair) => ({ id: Number(pair.split(':')[0]), source: pair.slice(pair.indexOf(':') + 1) }));
    const index = basename(url).split('.')[1] ?? '';
    const folder = mkdtempSync(join(tmpdir(), 'one-backup-stock-'));
    const files = this.#pull(known, index, (path) => join(folder, basename(path)));
    for (const [at, file] of files.entries()) if (at > 0) rebase(files[at - 1] ?? '', file);
    const target = join(folder, 'downloaded');
    execFileSync('qemu-img', ['convert', '-O', 'qcow2', files[files.length - 1] ?? '', target]);
    return target;
  }

  /** Dumps the files of a disk, one of each snapshot; restic lists them by time, whatever the order that was asked for. */
  #pull(chain: readonly Known[], index: string, where: (path: string) => string): string[] {
    const found = this.snapshots(...chain.map(({ source }) => source));
    return found.flatMap(({ id, paths }) =>
      paths
        .filter((path) => basename(path).startsWith(`disk.${index}.`))
        .map((path) => {
          mkdirSync(dirname(where(path)), { recursive: true });
          execFileSync('tee', [where(path)], { input: this.dump(id, path), stdio: ['pipe', 'ignore', 'inherit'] });
          return where(path);
        }),
    );
  }

  #store(options: readonly string[], paths: readonly string[]): string {
    const at = options.filter((option) => option.startsWith('--time='));
    const globals = options.filter((option) => !option.startsWith('--time='));
    const said = this.restic([...globals, '--json'], 'backup', ...at, ...paths).toString();
    return (JSON.parse(said.trim().split('\n').at(-1) ?? '') as { snapshot_id: string }).snapshot_id.slice(0, 8);
  }
}

function rebase(below: string, file: string): void {
  execFileSync('qemu-img', ['rebase', '-u', '-F', 'qcow2', '-b', below, file]);
}
