import { execFileSync } from 'node:child_process';
import { mkdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { FrontEndWorld } from '../helpers/front-end';
import type { ZfsMachine } from '../helpers/zfs-machine';
import { listedByZfs } from './many-backups';
import { type Pair, timed } from './measure';
import { spread, writeClusters, writePlaces } from './sparse-disk';
import { startZfsServers, type ZfsServers } from './zfs-servers';

/** How many backups a chain has, the full one among them, and what each increment holds. */
const LENGTH = 31;
const INCREMENT_MB = 8;
/** The VMs: two with chains, one that is backed up in full each night, one with large increments. */
const VMS = { 1024: 1, 4096: 2, nights: 3, large: 4 } as const;
/** The copy of a chain that is flattened has the number of its VM and this more. */
const COPY = 100;

type SizeMb = 1024 | 4096;

/** A chain as it is stored. */
interface Chain {
  readonly increments: readonly { readonly id: number; readonly source: string }[];
  /** What its increments held as they were staged. */
  readonly ownBytes: number;
  /** What the VM's dataset took with the full backup alone, and with all. */
  readonly usedBytes: { readonly full: number; readonly all: number };
}

/** A front-end and a host, and as the backup server the emulated machine with OpenZFS; it has the rsync driver's backups, too. */
export class ZfsBenchWorld {
  readonly #zfs: FrontEndWorld;
  readonly #rsync: FrontEndWorld;
  readonly #machine: ZfsMachine;
  readonly #chains = new Map<SizeMb, Promise<Chain>>();
  #isChainLaid: Promise<void> | undefined;
  #large: { id: number; source: string }[] = [];

  static async start(): Promise<ZfsBenchWorld> {
    return new ZfsBenchWorld(await startZfsServers());
  }

  private constructor({ zfs, rsync, machine }: ZfsServers) {
    this.#zfs = zfs;
    this.#rsync = rsync;
    this.#machine = machine;
  }

  /** A full backup of a disk, a quarter of which is random data, and thirty increments; made once. */
  chain(sizeMb: SizeMb): Promise<Chain> {
    const known = this.#chains.get(sizeMb) ?? this.#makeChain(sizeMb);
    this.#chains.set(sizeMb, known);
    return known;
  }

  /** Reads the last increment as the front-end does. */
  async download(): Promise<number> {
    const { increments } = await this.chain(1024);
    const [program, ...args] = this.#zfs.reading(this.#zfs.url(VMS[1024], increments, `disk.0.${LENGTH - 1}`));
    return timed({ program, args, env: this.#zfs.env });
  }

  /** Makes a plain file of what that reads, in a dataset with the settings of the pool or with those of the backups. */
  async layPlain(dataset: 'plain' | 'same'): Promise<void> {
    const { increments } = await this.chain(1024);
    const snapshot = `${this.#zfs.repository(VMS[1024])}/.zfs/snapshot/one-backup-${increments.at(-1)?.source}`;
    await this.#machine.sh(`cp --reflink=never ${snapshot}/disk.0 /tank/${dataset}/disk && zpool sync tank`);
  }

  async bareDownload(dataset: 'plain' | 'same'): Promise<number> {
    return timed({ program: 'ssh', args: ['oneadmin@server', `cat /tank/${dataset}/disk`], env: this.#zfs.env });
  }

  /** The most that the backups and the folders for temporary files have grown by during a download, in bytes. */
  async downloadPeak(): Promise<number> {
    const now = `echo $(($(zfs get -Hpo value used ${this.#dataset(VMS[1024])}) + $(du -scB1 /tmp /var/tmp | tail -n 1 | cut -f 1)))`;
    const before = Number(await this.#machine.sh(`rm -f /run/over; zpool sync; ${now}`));
    const most = this.#machine.sh(`while [ ! -e /run/over ]; do ${now}; sleep 0.1; done | sort -n | tail -n 1`);
    await this.download().finally(() => this.#machine.sh('touch /run/over'));
    return Number(await most) - before;
  }

  /** Flattens a chain to its last two backups; each time a new copy of it. */
  async flatten(sizeMb: SizeMb): Promise<number> {
    const { increments } = await this.chain(sizeMb);
    const vmId = COPY + VMS[sizeMb];
    const [from, to] = [this.#dataset(VMS[sizeMb]), this.#dataset(vmId)];
    const last = `one-backup-${increments.at(-1)?.source}`;
    await this.#machine.sh(`set -e -o pipefail; if zfs list ${to} >/dev/null 2>&1; then
        zfs list -Ho name -t snapshot ${to} | xargs zfs release one-backup; zfs destroy -r ${to}
      fi; zfs send -Rh ${from}@${last} | zfs recv ${to}; zpool sync tank`);
    return this.#flatten(this.#zfs, vmId, increments);
  }

  /** Flattens the same chain as the rsync driver has it on the same pool. */
  async rsyncFlatten(): Promise<number> {
    this.#isChainLaid ??= this.#layForRsync();
    await this.#isChainLaid;
    const vmId = VMS[1024];
    const folder = this.#rsync.repository(vmId);
    await this.#machine.sh(`rm -rf ${folder} && mkdir -p ${folder} && cp -al ${folder}.kept/. ${folder} &&
      chown oneadmin: ${folder} && zpool sync tank`);
    const increments = Array.from({ length: LENGTH }, (_, id) => ({ id, source: sourceOf(id) }));
    return this.#flatten(this.#rsync, vmId, increments);
  }

  /** What ten full backups take, of each of which a hundredth is new, and what one takes: in bytes. */
  async nights(): Promise<{ readonly one: number; readonly ten: number }> {
    const vmId = VMS.nights;
    const [sizeMb, dataMb] = [512, 128];
    const raw = join(this.#zfs.folder, 'nights');
    writePlaces(raw, sizeMb, spread(dataMb, sizeMb));
    const used: number[] = [];
    for (let night = 0; night < 10; night++) {
      if (night > 0) writeClusters(raw, dataMb * 16 * 0.01, night, sizeMb);
      this.#stage(vmId, 0, raw);
      await this.#backUp(vmId, 0, []);
      used.push(await this.#used(vmId));
    }
    return { one: used[0] ?? 0, ten: used[9] ?? 0 };
  }

  /** Lays an increment of 64 MiB; before the first one, there is a full backup of a disk of 256 MiB. */
  async layLarge(): Promise<void> {
    const raw = join(this.#zfs.folder, 'large');
    if (this.#large.length === 0) {
      writePlaces(raw, 256, spread(128, 256));
      this.#stage(VMS.large, 0, raw);
      this.#large = [{ id: 0, source: (await this.#backUp(VMS.large, 0, [])).source }];
    }
    writePlaces(raw, 256, spread(64, 256));
    this.#stage(VMS.large, this.#large.length, raw);
  }

  /** Backs that up. */
  async backupLarge(): Promise<number> {
    await this.layLarge();
    const id = this.#large.length;
    const { source, milliseconds } = await this.#backUp(VMS.large, id, this.#large);
    this.#large.push({ id, source });
    return milliseconds;
  }

  /** Sends the same file with rsync alone. */
  async bareLarge(): Promise<number> {
    await this.layLarge();
    const file = join(this.#staging(VMS.large), `disk.0.${this.#large.length}`);
    await this.#machine.sh('rm -f /tank/plain/large && zpool sync tank');
    return timed({ program: 'rsync', args: ['-aS', file, 'oneadmin@server:/tank/plain/large'], env: this.#zfs.env });
  }

  /** Lists a thousand backups in another datastore. */
  list(): Promise<Pair> {
    return listedByZfs(this.#zfs, this.#machine);
  }

  async stop(): Promise<void> {
    await Promise.allSettled(this.#chains.values());
    await this.#zfs.stop();
    await this.#rsync.stop();
    await this.#machine.stop();
  }

  async #makeChain(sizeMb: SizeMb): Promise<Chain> {
    const vmId = VMS[sizeMb];
    const raw = join(this.#zfs.folder, 'raw');
    const increments: { id: number; source: string }[] = [];
    let [ownBytes, full] = [0, 0];
    for (let id = 0; id < LENGTH; id++) {
      const places = Array.from({ length: INCREMENT_MB }, (_, n) => (id * 37 + n * 101) % sizeMb);
      writePlaces(raw, sizeMb, id === 0 ? spread(sizeMb / 4, sizeMb) : places);
      const file = this.#stage(vmId, id, raw);
      if (id > 0) ownBytes += statSync(file).size;
      increments.push({ id, source: (await this.#backUp(vmId, id, increments)).source });
      if (id === 0) full = await this.#used(vmId);
      if (sizeMb === 1024) this.#keep(file, id);
    }
    return { increments, ownBytes, usedBytes: { full, all: await this.#used(vmId) } };
  }

  /** Keeps a file of the chain for the rsync driver. */
  #keep(file: string, id: number): void {
    const folder = join(this.#rsync.folder, 'kept', sourceOf(id));
    mkdirSync(folder, { recursive: true });
    execFileSync('cp', ['--sparse=always', file, join(file, '..', 'vm.xml'), folder]);
  }

  async #layForRsync(): Promise<void> {
    await this.chain(1024);
    const folder = `${this.#rsync.repository(VMS[1024])}.kept`;
    await this.#machine.sh(`mkdir -p ${folder} && chown -R oneadmin: ${folder}/..`);
    const args = ['-aS', `${join(this.#rsync.folder, 'kept')}/`, `oneadmin@server:${folder}/`];
    await timed({ program: 'rsync', args, env: this.#rsync.env });
  }

  #flatten(frontEnd: FrontEndWorld, vmId: number, chain: readonly { id: number; source: string }[]): Promise<number> {
    const stdin = frontEnd.imageMessage('increment_flatten', vmId, chain, (text) =>
      text.replace(/<KEEP_LAST>.*?<\/KEEP_LAST>/, '<KEEP_LAST>2</KEEP_LAST>'),
    );
    const program = join(frontEnd.built, frontEnd.script('increment_flatten'));
    return timed({ program, args: ['6'], env: frontEnd.env, stdin });
  }

  /** Fills the staging folder of a VM with a disk; returns its file. */
  #stage(vmId: number, id: number, raw: string): string {
    const folder = this.#staging(vmId);
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder, { recursive: true });
    const [vm = ''] = /<VM>[\s\S]*<\/VM>/.exec(this.#zfs.backupCall(vmId, [0], 0)[1]) ?? [];
    writeFileSync(join(folder, 'vm.xml'), Buffer.from(vm).toString('base64'));
    const file = join(folder, `disk.0.${id}`);
    execFileSync('qemu-img', ['convert', '-f', 'raw', '-O', 'qcow2', raw, file]);
    return file;
  }

  async #backUp(
    vmId: number,
    id: number,
    chain: readonly { id: number; source: string }[],
  ): Promise<{ readonly source: string; readonly milliseconds: number }> {
    this.#zfs.serveImage(vmId, chain.length > 0 ? chain : [{ id: 0, source: 'none' }]);
    const [args, stdin] = this.#zfs.backupCall(vmId, [0], id);
    const started = process.hrtime.bigint();
    const { code, stdout, stderr } = await this.#zfs.run('zfs/backup', args, stdin);
    const milliseconds = Number(process.hrtime.bigint() - started) / 1e6;
    if (code !== 0) throw new Error(stderr);
    return { source: stdout.split(' ')[0] ?? '', milliseconds };
  }

  async #used(vmId: number): Promise<number> {
    return Number(await this.#machine.sh(`zpool sync tank && zfs get -Hpo value used ${this.#dataset(vmId)}`));
  }

  #dataset(vmId: number): string {
    return this.#zfs.repository(vmId).slice(1);
  }

  #staging(vmId: number): string {
    return join(this.#zfs.staging(vmId), 'backup');
  }
}

function sourceOf(id: number): string {
  return `aaaa${String(id).padStart(2, '0')}`;
}
