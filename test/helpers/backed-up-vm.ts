import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { LiveDisk } from './disk';
import type { Ended, FrontEndWorld } from './front-end';

/** The bytes of a test's TPM state: any bytes at all, since oned and the drivers only carry them. */
export const TPM_STATE = Buffer.from([0x1f, 0x8b, 0x08, 0, 0xff, 0xfe, 0x0a, 0x0d, 0x27, 0x22, 0x80]);

/** What a VM of a test has. */
export interface VmOptions {
  readonly disks?: number;
  readonly diskBytes?: number;
  /** Clusters of 64 KiB that hold data in the full backup; an increment has a quarter of them. */
  readonly clusters?: number;
  readonly tpm?: boolean;
  /** XML that the VM's TEMPLATE has beside that of the real message. */
  readonly template?: string;
}

/** A VM that the built scripts back up: its disks at each point in time, its staging folder, its chain. */
export class BackedUpVm {
  readonly id: number;
  readonly disks: readonly LiveDisk[];
  /** What oned would list as the increments of its image. */
  readonly chain: { id: number; source: string }[] = [];
  readonly #world: FrontEndWorld;
  readonly #options: Required<VmOptions>;

  constructor(world: FrontEndWorld, id: number, options: VmOptions = {}) {
    this.id = id;
    this.#world = world;
    this.#options = { disks: 2, diskBytes: 8 * 2 ** 20, clusters: 16, tpm: false, template: '', ...options };
    const disk = (_: unknown, n: number): LiveDisk =>
      new LiveDisk(world.folder, `vm${id}.${n}`, this.#options.diskBytes, id * 10 + n);
    this.disks = Array.from({ length: this.#options.disks }, disk);
  }

  /** Where the transfer driver lays its files. */
  get staging(): string {
    return join(this.#world.staging(this.id), 'backup');
  }

  /** Lays what prebackup would lay for an increment, into the staging folder or another one. */
  stage(increment: number, folder = this.staging): void {
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder, { recursive: true });
    this.disks.forEach((disk, n) => {
      const file = join(folder, `disk.${n}.${increment}`);
      disk.change(increment === 0 ? this.#options.clusters : this.#options.clusters / 4);
      if (increment === 0) disk.full(file, '0');
      else disk.increment(file, String(increment));
    });
    const [vm] = /<VM>[\s\S]*<\/VM>/.exec(this.#world.backupCall(this.id, [0], increment)[1]) as RegExpExecArray;
    const document = vm.replace('</TEMPLATE>', (end) => this.#options.template + end);
    // As prebackup writes it: base64 in lines of 60 characters.
    writeFileSync(
      join(folder, 'vm.xml'),
      Buffer.from(document)
        .toString('base64')
        .replace(/(.{60})/g, '$1\n'),
    );
    if (this.#options.tpm) writeFileSync(join(folder, 'disk.tpm.0'), TPM_STATE);
  }

  /** The arguments and the message of the backup of an increment. */
  call(increment: number, jobId = '-'): [string[], string] {
    return this.#world.backupCall(
      this.id,
      this.disks.map((_, n) => n),
      increment,
      jobId,
    );
  }

  /** Stages the next increment, backs it up and adds it to the chain. */
  async backUp(): Promise<Ended> {
    const increment = this.chain.length;
    this.stage(increment);
    const ended = await this.#world.run(this.#world.script('backup'), ...this.call(increment));
    if (ended.code !== 0) throw new Error(`backup ${increment} of VM ${this.id} failed: ${ended.stderr}`);
    this.chain.push({ id: increment, source: ended.stdout.split(' ')[0] as string });
    return ended;
  }

  /** The backup URL of a disk at a point of the chain. */
  url(disk: number | 'tpm', increment = this.chain.length - 1): string {
    const file = disk === 'tpm' ? 'disk.tpm.0' : `disk.${disk}.${increment}`;
    return this.#world.url(this.id, this.chain.slice(0, increment + 1), file);
  }
}
