import { execFileSync } from 'node:child_process';
import { randomFillSync } from 'node:crypto';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { type FrontEndWorld, startFrontEnd } from '../helpers/front-end';
import { withText } from '../helpers/messages';
import { type Run, timed } from './measure';

const PASSWORD = 'bench';
/** Built once and kept: a repository with many snapshots takes minutes. */
const CACHE = join(__dirname, '..', '..', 'node_modules', '.cache', 'bench');
/** The disk that is backed up. */
const DISK_MB = 256;

/** A VM of the bench, whose repository holds one backup of a large disk, and other snapshots if there are to be any. */
export interface BenchVm {
  readonly id: number;
  /** The backup of the large disk. */
  readonly source: string;
  readonly url: string;
}

/** A front-end, a host and a backup server with an sshd each. */
export class BenchWorld {
  readonly frontEnd: FrontEndWorld;
  readonly #vms = new Map<number, Promise<BenchVm>>();

  static async start(): Promise<BenchWorld> {
    delete process.env.NODE_EXTRA_CA_CERTS; // a front-end has none; reading one doubles the time that Node takes to start
    return new BenchWorld(await startFrontEnd({ password: PASSWORD, sshds: 2, usualKeyExchange: true }));
  }

  private constructor(frontEnd: FrontEndWorld) {
    this.frontEnd = frontEnd;
    const datastore = /<DATASTORE>[\s\S]*?<\/DATASTORE>/.exec(frontEnd.message('ls-i2'))?.[0] ?? '';
    frontEnd.oned.behaviour = { datastores: { 100: datastore } };
  }

  /** The VM whose repository holds that many snapshots before its first backup. */
  vm(snapshots: number): Promise<BenchVm> {
    const known = this.#vms.get(snapshots) ?? this.#makeVm(snapshots);
    this.#vms.set(snapshots, known);
    return known;
  }

  async #makeVm(snapshots: number): Promise<BenchVm> {
    const id = 1000 + snapshots;
    if (snapshots > 0) {
      mkdirSync(this.frontEnd.datastore, { recursive: true });
      cpSync(await manySnapshots(snapshots), this.frontEnd.repository(id), { recursive: true });
    }
    this.newDisk(id);
    const [args, stdin] = this.frontEnd.backupCall(id, [0], 0);
    const { code, stdout, stderr } = await this.frontEnd.run('restic/backup', args, stdin);
    if (code !== 0) throw new Error(stderr);
    const source = stdout.slice(0, 8);
    return { id, source, url: `restic://100//0:${source}${this.#folder(id)}/disk.0.0` };
  }

  #folder(id: number): string {
    return join(this.frontEnd.staging(id), 'backup');
  }

  /** Fills the staging folder of a VM with a new disk of random bytes. */
  newDisk(id: number): void {
    const folder = this.#folder(id);
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder, { recursive: true });
    const [, stdin] = this.frontEnd.backupCall(id, [0], 0);
    const vm = /<VM>[\s\S]*<\/VM>/.exec(stdin)?.[0] ?? '';
    writeFileSync(join(folder, 'vm.xml'), Buffer.from(vm).toString('base64'));
    writeFileSync(join(folder, 'manifest.json'), '{}\n'); // as large a set of files for the bare run
    writeFileSync(join(folder, 'disk.0.0'), randomFillSync(Buffer.alloc(DISK_MB * 2 ** 20)));
    execFileSync('sync');
  }

  /** Times a script, started as oned does. */
  async script(name: string, args: readonly string[], stdin: string): Promise<number> {
    return timed({ program: join(this.frontEnd.built, name), args, env: this.frontEnd.env, stdin });
  }

  /** Times the backup action. */
  async backup(id: number): Promise<number> {
    const [args, stdin] = this.frontEnd.backupCall(id, [0], 0);
    return this.script('restic/backup', args, stdin);
  }

  /** Times `restic backup` of the same files, with the same repository, cache and SSH, and nothing around it. */
  async bareBackup(id: number): Promise<number> {
    const files = ['disk.0.0', 'vm.xml', 'manifest.json'].map((name) => join(this.#folder(id), name));
    const { XDG_CACHE_HOME: _none, ...inherited } = this.frontEnd.env;
    const env = { ...inherited, HOME: this.frontEnd.ssh.home };
    return timed(this.bare(id, ['backup', '--json', `--tag=one-${id}`, ...files], env));
  }

  /** Times a call of restic that opens the repository of the VM and does next to nothing. */
  async bareLook({ id, source }: BenchVm): Promise<number> {
    return timed(this.bare(id, ['snapshots', '--no-lock', '--json', source], this.frontEnd.env));
  }

  private bare(id: number, args: readonly string[], env: NodeJS.ProcessEnv): Run {
    const repository = `sftp:${userInfo().username}@server:${this.frontEnd.repository(id)}`;
    return { program: 'restic', args: ['-r', repository, ...args], env: { ...env, RESTIC_PASSWORD: PASSWORD } };
  }

  async ls({ id, source }: BenchVm): Promise<number> {
    return this.script('restic/ls', ['-i', '-1'], this.frontEnd.imageMessage('ls-i2', id, [{ id: 0, source }]));
  }

  async stat({ url }: BenchVm): Promise<number> {
    const message = this.frontEnd.message('stat-from-backup-ds', (text) =>
      withText(text, 'IMAGE', 'PATH', url).replace(/<BACKUP_JOB_ID>.*?<\/BACKUP_JOB_ID>/, ''),
    );
    return this.script('restic/stat', ['4'], message);
  }

  /** SSH logins so far, on the host and on the backup server. */
  connections(): { readonly host: number; readonly server: number } {
    const { ssh } = this.frontEnd;
    return { host: ssh.connections('host1'), server: ssh.connections('server') };
  }

  /** The most bytes that lay in a temporary folder while a disk was downloaded as the front-end does: sniffed, then in full. */
  async downloadPeak({ url }: BenchVm): Promise<number> {
    const own = mkdtempSync(join(tmpdir(), 'bench-tmp-'));
    const folders = [own, this.frontEnd.temporary, '/var/tmp'];
    const before = sizeOf(folders);
    let peak = 0;
    const watch = setInterval(() => {
      peak = Math.max(peak, sizeOf(folders) - before);
    }, 20);
    try {
      const line = `eval "$("$0" "$1")"; eval "$command" | head -n 1024 | file -b - >&2
        set -o pipefail; eval "$command" | cat >/dev/null && eval "$clean_command"`;
      const args = ['-c', line, join(this.frontEnd.built, 'restic_downloader.rb'), url];
      await timed({ program: 'bash', args, env: { ...this.frontEnd.env, TMPDIR: own } });
    } finally {
      clearInterval(watch);
      rmSync(own, { recursive: true, force: true });
    }
    return peak;
  }

  async stop(): Promise<void> {
    await Promise.allSettled(this.#vms.values());
    await this.frontEnd.stop();
  }
}

/** The bytes of the files below some folders; what goes meanwhile counts for nothing. */
function sizeOf(folders: readonly string[]): number {
  try {
    const said = execFileSync('du', ['-sc', '--block-size=1', ...folders], { stdio: ['ignore', 'pipe', 'ignore'] });
    return Number(/([0-9]+)\ttotal/.exec(said.toString())?.[1] ?? 0);
  } catch {
    return 0;
  }
}

/** A repository with that many snapshots of other VMs' small files; from the cache, if it was ever built. */
async function manySnapshots(count: number): Promise<string> {
  const ready = join(CACHE, `snapshots-${count}`);
  if (existsSync(ready)) return ready;
  mkdirSync(CACHE, { recursive: true });
  const work = mkdtempSync(join(CACHE, 'building-'));
  const repository = join(work, 'repository');
  const env = { ...process.env, RESTIC_PASSWORD: PASSWORD, RESTIC_CACHE_DIR: join(work, 'cache') };
  process.stderr.write(
    `bench: building a repository with ${count} snapshots (minutes; it is kept in node_modules/.cache)\n`,
  );
  try {
    execFileSync('restic', ['-r', repository, 'init'], { env, stdio: 'ignore' });
    const numbers = Array.from({ length: count }, (_, number) => number);
    const worker = async (): Promise<void> => {
      for (let number = numbers.shift(); number !== undefined; number = numbers.shift()) {
        const args = [
          '-r',
          repository,
          'backup',
          '--force',
          `--tag=one-${number % 7}`,
          '--stdin-filename',
          `/vm/${number}`,
          '--stdin',
        ];
        await timed({ program: 'restic', args, env, stdin: `content ${number}\n` });
      }
    };
    await Promise.all(Array.from({ length: availableParallelism() }, worker));
    const made = readdirSync(join(repository, 'snapshots')).length;
    if (made !== count) throw new Error(`it has ${made} snapshots, not ${count}`);
    renameSync(repository, ready);
    return ready;
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}
