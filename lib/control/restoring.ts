import { createHash } from 'node:crypto';
import { quote } from '../command/quote';
import { DriverError } from '../errors';
import { joinPath } from '../opennebula/ids';
import { restoreDisk } from './disk-restore';
import type { OpenedDatastore } from './open-datastore';
import { removeInPlace, sha256Of, writeWhole } from './part-file';
import { type RestorePlan, VM_TEMPLATE } from './restore-plan';
import { type RestoredFile, RestoreRecord } from './restore-record';
import { inventoryOf } from './stored-backups';
import type { ControlContext } from './subcommand';

/** A restore under way. */
export class Restoring {
  readonly #plan: RestorePlan;
  readonly #opened: OpenedDatastore;
  readonly #context: Pick<ControlContext, 'screen' | 'signal'>;
  readonly #there = new Map<string, RestoredFile>();
  #record: RestoreRecord | undefined;
  #hasOtherTemplate = false;

  constructor(plan: RestorePlan, opened: OpenedDatastore, context: Pick<ControlContext, 'screen' | 'signal'>) {
    this.#plan = plan;
    this.#opened = opened;
    this.#context = context;
  }

  /** Whether a file is there already, as this restore would make it. */
  isThere(name: string): boolean {
    return this.#there.has(name);
  }

  /** Looks at what is in the folder. Throws `usage` for a file of another backup, unless it may be replaced. */
  async refuseOthers(mayReplace: boolean): Promise<void> {
    const { folder, disks, texts, template } = this.#plan;
    const { signal, screen } = this.#context;
    this.#record = await RestoreRecord.read(folder);
    const others: string[] = [];
    for (const { name, of } of disks) {
      const verified = await this.#record.verified(name, of, signal);
      if (verified !== undefined) this.#there.set(name, verified);
      else if ((await sha256Of(joinPath(folder, name), signal)) !== undefined) others.push(name);
    }
    for (const { name, content } of texts) {
      const found = await sha256Of(joinPath(folder, name), signal);
      const sha256 = createHash('sha256').update(content).digest('hex');
      if (found === sha256) this.#there.set(name, { name, of: '', sizeBytes: content.length, sha256, verified: [] });
      else if (found !== undefined) others.push(name);
    }
    // One that is not made anew names the images of what is replaced.
    const isStale = template === undefined && others.length > 0 && !others.includes(VM_TEMPLATE);
    if (isStale && (await sha256Of(joinPath(folder, VM_TEMPLATE), signal)) !== undefined) others.push(VM_TEMPLATE);
    this.#hasOtherTemplate = others.includes(VM_TEMPLATE);
    if (others.length === 0) return;
    if (mayReplace) return screen.note(`replacing in ${folder}: ${others.join(', ')}`);
    throw new DriverError(
      'usage',
      `${folder} holds files that this restore would make differently: ${others.join(', ')}`,
      {
        hint: 'Choose another folder, or replace them with --yes',
      },
    );
  }

  /** Restores what is not there. */
  async run(): Promise<RestoredFile[]> {
    const { folder, disks, texts } = this.#plan;
    const { screen, signal } = this.#context;
    const record = this.#record ?? (await RestoreRecord.read(folder));
    const { local } = this.#opened.hosts();
    const hasQemu = (await local.programs(['qemu-img'])).has('qemu-img');
    if (!hasQemu) screen.warn('qemu-img is not installed here: disks are neither checked nor converted');
    const { driver } = this.#opened;
    const inventory = inventoryOf(this.#opened);
    const engine = this.#opened.engine();
    const means = { folder, engine, inventory, driver, record, local, hasQemu, screen, signal };
    const done: RestoredFile[] = [];
    // first, for it says that all is there: whoever is interrupted from here on leaves none that is of something else
    if (this.#hasOtherTemplate) await removeInPlace(joinPath(folder, VM_TEMPLATE));
    for (const { name, content } of texts.filter((text) => text.name !== this.#plan.template)) {
      signal.throwIfAborted();
      done.push(this.#there.get(name) ?? (await this.#write(name, content)));
    }
    for (const disk of disks) {
      signal.throwIfAborted();
      const there = this.#there.get(disk.name);
      if (there !== undefined) screen.note(`${disk.name} is there and verified, it is not fetched again`);
      done.push(there ?? (await restoreDisk(disk, means)));
    }
    // last, for it says that all is there
    for (const { name, content } of texts.filter((text) => text.name === this.#plan.template))
      done.push(this.#there.get(name) ?? (await this.#write(name, content)));
    return done;
  }

  /** The commands that make a VM of the folder. */
  nextSteps(): string[] {
    const { folder, disks } = this.#plan;
    const images = disks.filter(({ format }) => format !== 'stored');
    return [
      ...images.map(({ diskId }) => quote(['oneimage', 'create', '-d', 'DATASTORE', `${folder}/disk.${diskId}.image`])),
      quote(['onetemplate', 'create', `${folder}/vm.template`]),
    ];
  }

  async #write(name: string, content: Buffer): Promise<RestoredFile> {
    await writeWhole(this.#plan.folder, name, content);
    const sha256 = createHash('sha256').update(content).digest('hex');
    return { name, of: '', sizeBytes: content.length, sha256, verified: [] };
  }
}
