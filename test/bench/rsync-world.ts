import { execFileSync } from 'node:child_process';
import { randomFillSync } from 'node:crypto';
import {
  closeSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { chainOf } from '../../lib/command/qemu-img';
import { quote } from '../../lib/command/quote';
import { type AbsolutePath, parseAbsolutePath } from '../../lib/opennebula/ids';
import { type FrontEndWorld, startFrontEnd } from '../helpers/front-end';
import { timed } from './measure';

const MIB = 2 ** 20;
const DISK_MB = 1024;
/** The VM whose disk is backed up, and the one that has a chain. */
const VM = 1;
const CHAINED = 2;
/** How long the chain is, and what each of its increments holds. */
const LENGTH = 30;
const INCREMENT_MB = 8;

/** A front-end, a host and a backup server of the rsync driver. */
export class RsyncWorld {
  readonly frontEnd: FrontEndWorld;
  readonly #kept: string;

  static async start(): Promise<RsyncWorld> {
    delete process.env.NODE_EXTRA_CA_CERTS; // a front-end has none
    return new RsyncWorld(await startFrontEnd({ driver: 'rsync', sshds: 2, usualKeyExchange: true }));
  }

  private constructor(frontEnd: FrontEndWorld) {
    this.frontEnd = frontEnd;
    frontEnd.serveDatastore();
    this.#kept = join(frontEnd.folder, 'kept');
    this.#stageDisk();
  }

  /** Backs the disk up into an empty datastore. */
  async backup(): Promise<number> {
    rmSync(this.frontEnd.repository(VM), { recursive: true, force: true });
    execFileSync('sync');
    return this.#script('backup', ...this.#backupCall());
  }

  /** The same, where a transfer was killed when it had sent that share of the disk. */
  async resumedBackup(share: number): Promise<number> {
    const folder = this.frontEnd.repository(VM);
    rmSync(folder, { recursive: true, force: true });
    const dead = join(folder, '.receiving-0123456789ab');
    mkdirSync(dead, { recursive: true });
    execFileSync('cp', ['--sparse=always', join(this.#staging, 'disk.0.0'), dead]);
    truncateSync(join(dead, 'disk.0.0'), Math.floor(share * DISK_MB * MIB));
    execFileSync('sync');
    return this.#script('backup', ...this.#backupCall());
  }

  /** `rsync -aS` of the same folder to the same server. */
  async bareBackup(): Promise<number> {
    const target = join(this.frontEnd.folder, 'server', 'bare');
    rmSync(target, { recursive: true, force: true });
    mkdirSync(target, { recursive: true });
    execFileSync('sync');
    const args = ['-aS', `${this.#staging}/`, `server:${target}/`];
    return timed({ program: 'rsync', args, env: this.frontEnd.env });
  }

  /** Downloads the newest of a chain of so many backups. */
  async download(length: number): Promise<number> {
    this.layChain();
    const chain = this.#chain(length);
    const url = this.frontEnd.url(CHAINED, chain, `disk.0.${length - 1}`);
    return this.#script('', ['--stream', url], '', this.frontEnd.downloader);
  }

  /** The same with the programs themselves: merged on the server where there is something to merge, then sent. */
  async bareDownload(length: number): Promise<number> {
    this.layChain();
    const { env } = this.frontEnd;
    const cat = (file: string): Promise<number> =>
      timed({ program: 'ssh', args: ['server', quote(['cat', file])], env });
    if (length === 1) return cat(this.#file(0));
    const merged = join(this.frontEnd.temporary, 'merged');
    const convert = ['qemu-img', 'convert', '-O', 'qcow2', this.#chainName(length), merged];
    const took = await timed({ program: 'ssh', args: ['server', quote(convert)], env });
    const sent = await cat(merged);
    rmSync(merged);
    return took + sent;
  }

  /** Flattens the chain to its last two backups. */
  async flatten(): Promise<number> {
    this.layChain();
    execFileSync('sync');
    const message = this.frontEnd.imageMessage('increment_flatten', CHAINED, this.#chain(LENGTH), (text) =>
      text.replace(/<KEEP_LAST>.*?<\/KEEP_LAST>/, '<KEEP_LAST>2</KEEP_LAST>'),
    );
    return this.#script('increment_flatten', ['6'], message);
  }

  /** Merges the same backups with qemu-img alone. */
  async bareFlatten(): Promise<number> {
    this.layChain();
    const merged = join(this.frontEnd.temporary, 'merged');
    execFileSync('sync');
    const args = ['convert', '-O', 'qcow2', this.#chainName(LENGTH - 1), merged];
    const took = await timed({ program: 'qemu-img', args, env: this.frontEnd.env });
    rmSync(merged);
    return took;
  }

  /** The most memory that a script had while it ran, in MB. */
  async memoryMb(run: () => Promise<number>): Promise<number> {
    let most = 0;
    const look = setInterval(() => {
      for (const pid of readdirSync('/proc').filter((name) => /^[0-9]+$/.test(name))) {
        most = Math.max(most, this.#highWaterKib(pid));
      }
    }, 50);
    await run().finally(() => clearInterval(look));
    return Math.ceil(most / 1024);
  }

  /** VmHWM of a process that runs one of our scripts (proc(5)); 0 for any other. */
  #highWaterKib(pid: string): number {
    try {
      const [program = '', script = ''] = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
      if (!program.endsWith('node') || !script.startsWith(this.frontEnd.built)) return 0;
      return Number(/^VmHWM:\s+([0-9]+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0);
    } catch {
      return 0;
    }
  }

  async stop(): Promise<void> {
    await this.frontEnd.stop();
  }

  /** Puts the chain in place as the stock driver would have stored it; it is made once, and linked. */
  layChain(): void {
    const { datastore } = this.frontEnd;
    mkdirSync(join(datastore), { recursive: true });
    try {
      readdirSync(this.#kept);
    } catch {
      this.#makeChain();
    }
    rmSync(this.frontEnd.repository(CHAINED), { recursive: true, force: true });
    execFileSync('cp', ['-al', this.#kept, this.frontEnd.repository(CHAINED)]);
  }

  #makeChain(): void {
    const raw = join(this.frontEnd.folder, 'raw');
    writeHalfZeros(raw);
    for (let id = 0; id < LENGTH; id++) {
      const folder = join(this.#kept, source(id));
      mkdirSync(folder, { recursive: true });
      writeFileSync(join(folder, 'vm.xml'), this.#vmXml());
      const file = join(folder, `disk.0.${id}`);
      if (id === 0) {
        execFileSync('qemu-img', ['convert', '-O', 'qcow2', raw, file]);
        continue;
      }
      execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', file, `${DISK_MB}M`]);
      const writes = Array.from(
        { length: INCREMENT_MB },
        (_, n) => `write -P ${id} ${(id * 37 + n * 101) % DISK_MB}M 1M`,
      );
      execFileSync('qemu-io', [file], { input: `${writes.join('\n')}\n`, stdio: ['pipe', 'ignore', 'inherit'] });
    }
    rmSync(raw);
    execFileSync('sync');
  }

  #chain(length: number): { id: number; source: string }[] {
    return Array.from({ length }, (_, id) => ({ id, source: source(id) }));
  }

  #file(id: number): AbsolutePath {
    return parseAbsolutePath(join(this.frontEnd.repository(CHAINED), source(id), `disk.0.${id}`), 'a disk');
  }

  #chainName(length: number): string {
    const [first, ...rest] = this.#chain(length).map(({ id }) => ({ path: this.#file(id), format: 'qcow2' as const }));
    if (first === undefined) throw new Error('a chain has a beginning');
    return chainOf([first, ...rest]);
  }

  get #staging(): string {
    return join(this.frontEnd.staging(VM), 'backup');
  }

  #stageDisk(): void {
    mkdirSync(this.#staging, { recursive: true });
    writeFileSync(join(this.#staging, 'vm.xml'), this.#vmXml());
    writeHalfZeros(join(this.#staging, 'disk.0.0'));
  }

  #backupCall(): [string[], string] {
    return this.frontEnd.backupCall(VM, [0], 0);
  }

  #vmXml(): string {
    const [vm = ''] = /<VM>[\s\S]*<\/VM>/.exec(this.frontEnd.backupCall(VM, [0], 0)[1]) ?? [];
    return Buffer.from(vm).toString('base64');
  }

  #script(
    action: string,
    args: readonly string[],
    stdin: string,
    name = this.frontEnd.script(action),
  ): Promise<number> {
    return timed({ program: join(this.frontEnd.built, name), args, env: this.frontEnd.env, stdin });
  }
}

/** A disk of 1 GiB in which every other MiB is random, and the rest zeros. */
function writeHalfZeros(file: string): void {
  const descriptor = openSync(file, 'w');
  ftruncateSync(descriptor, DISK_MB * MIB);
  const block = Buffer.alloc(MIB);
  for (let at = 0; at < DISK_MB; at += 2) writeSync(descriptor, randomFillSync(block), 0, MIB, at * MIB);
  closeSync(descriptor);
}

function source(id: number): string {
  return `aaaa${String(id).padStart(2, '0')}`;
}
