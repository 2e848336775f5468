import { checkAlone } from '../../command/qemu-img';
import { IO_ERROR, readThrough } from '../../command/read-through';
import { poolStatus } from '../../command/zpool';
import { asDriverError } from '../../errors';
import type { Host } from '../../host/host';
import { parseDiskFile } from '../../opennebula/backup-url';
import { type AbsolutePath, joinPath, type VmId } from '../../opennebula/ids';
import type { CheckExtent, CheckItem, Damage, StoredPoint } from '../inventory';
import { sampled } from '../sampled';
import { ifMissing, type State, type VmDataset } from './vm-dataset';

/** What checking needs. */
export interface CheckMeans {
  readonly server: Host;
  readonly pool: string;
  readonly dataset: (vmId: VmId) => VmDataset;
  readonly log: (text: string) => void;
}

/** The errors that ZFS knows of, and for each backup its disks' form and as much of the data as is asked for. */
export function checksOf(points: readonly StoredPoint[], extent: CheckExtent, means: CheckMeans): CheckItem[] {
  const disks = points.flatMap((point) =>
    point.disks.map(({ file, sizeBytes = 0 }) => ({ key: keyOf(point, file), sizeBytes })),
  );
  const read = sampled(disks, extent);
  const { pool } = means;
  const looks: Looks = new Map();
  const backups = points.map((point): CheckItem => {
    const { vmId, source } = point;
    const isRead = (file: string): boolean =>
      parseDiskFile(file) === undefined ? extent.share >= 1 : read.has(keyOf(point, file));
    const run = () => new BackupCheck(point, means, looks).run(isRead, extent.bandwidthLimitKib);
    return { id: `backup:${vmId}/${source}`, about: `VM ${vmId}, backup ${source}`, points: [point], run };
  });
  const [first] = points;
  if (first === undefined) return backups;
  const run = () => checkPool(first, extent, means);
  return [{ id: `pool:${pool}`, about: `pool ${pool}`, points, run }, ...backups];
}

/** ZFS tells nobody but root in which files its errors are: that is found by reading. */
async function checkPool({ vmId }: StoredPoint, { share }: CheckExtent, means: CheckMeans): Promise<Damage[]> {
  const { server, pool, log } = means;
  const { scan = 'never scrubbed', errors } = await server.run(poolStatus(pool));
  log(`pool ${pool}: ${scan}${errors === 0 ? '' : `; ${errors} errors in data`}`);
  if (errors === 0 || share >= 1) return [];
  const what = `ZFS knows of ${errors} errors in data of the pool ${pool}; --full tells which backups have them, if any`;
  return [{ vmId, jobId: undefined, source: undefined, diskId: undefined, isUnclear: true, what }];
}

/** A VM's snapshots as they were when they were first looked at: looking at them anew for each takes longer than the rest. */
type Looks = Map<VmId, Promise<State | undefined>>;

class BackupCheck {
  readonly #point: StoredPoint;
  readonly #means: CheckMeans;
  readonly #looks: Looks;

  constructor(point: StoredPoint, means: CheckMeans, looks: Looks) {
    this.#point = point;
    this.#means = means;
    this.#looks = looks;
  }

  async run(isRead: (file: string) => boolean, limitKib: number | undefined): Promise<Damage[]> {
    const { disks } = this.#point;
    const { server } = this.#means;
    const found = (await this.#held('known')) ?? (await this.#held('anew'));
    if (found === undefined) return [this.#damage(undefined, 'its snapshot is gone')];
    const { folder, names } = found;
    const damages = disks
      .filter(({ file }) => !names.includes(file))
      .map(({ file }) => this.#damage(file, `${file} is gone`));
    damages.push(...(await this.#unreadable(folder, names.filter(isRead), limitKib)));
    // What is known to be damaged need not be looked at for its form.
    const sound = disks.filter(({ file }) => names.includes(file) && !damages.some((one) => one.file === file));
    for (const { file } of sound)
      damages.push(...(await this.#wrong(file, server.run(checkAlone(joinPath(folder, file))))));
    return damages;
  }

  /** Its files; undefined when it is gone. */
  async #held(look: 'known' | 'anew'): Promise<{ folder: AbsolutePath; names: string[] } | undefined> {
    const { vmId, source } = this.#point;
    const { server, dataset } = this.#means;
    if (look === 'anew') this.#looks.delete(vmId);
    const own = dataset(vmId);
    const known = this.#looks.get(vmId) ?? own.look();
    this.#looks.set(vmId, known);
    const state = await known;
    const backup = state?.backups.find((one) => one.source === source);
    if (state === undefined || backup === undefined) return undefined;
    const folder = await own.open({ state, backup });
    const entries = await server.files.list(folder, []).catch(ifMissing);
    return entries === undefined ? undefined : { folder, names: entries.map(({ name }) => name).sort() };
  }

  /** Those that cannot be read: all are read at once, and one by one only when that fails. */
  async #unreadable(folder: AbsolutePath, names: readonly string[], limitKib: number | undefined): Promise<Damage[]> {
    const { server } = this.#means;
    const read = (some: readonly string[]): Promise<undefined> =>
      server.run(
        readThrough(
          some.map((name) => joinPath(folder, name)),
          limitKib,
        ),
      );
    const [first] = names.length === 0 ? [] : await this.#wrong('', read(names));
    if (first === undefined) return [];
    const found: Damage[] = [];
    for (const name of names) found.push(...(await this.#wrong(name, read([name]))));
    return found;
  }

  async #wrong(file: string, check: Promise<undefined>): Promise<Damage[]> {
    try {
      await check;
      return [];
    } catch (error) {
      const { kind, message } = asDriverError(error);
      if (kind !== 'damaged' && !message.includes(IO_ERROR)) throw error;
      return [this.#damage(file, message.includes(IO_ERROR) ? `${file}: it cannot be read: ${IO_ERROR}` : message)];
    }
  }

  #damage(file: string | undefined, what: string): Damage {
    const { vmId, jobId, source } = this.#point;
    const diskId = file === undefined ? undefined : parseDiskFile(file)?.diskId;
    return { vmId, jobId, source, diskId, file, what };
  }
}

function keyOf({ vmId, source }: StoredPoint, file: string): string {
  return `${vmId}/${source}/${file}`;
}
