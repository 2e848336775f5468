import { checkAlone } from '../../command/qemu-img';
import { asDriverError, DriverError, type ErrorKind } from '../../errors';
import type { FileEntry, Host } from '../../host/host';
import { parseDiskFile } from '../../opennebula/backup-url';
import { type AbsolutePath, type DatastoreId, joinPath, type VmId } from '../../opennebula/ids';
import type { Chain, Increment } from '../../opennebula/increment';
import { MANIFEST_FILE, type Manifest, parseManifest } from '../../opennebula/manifest';
import { type Links, resolveChain, type Stored } from '../chain';
import type { ChainFile } from '../chain-files';

/** How many small files are read from the server at a time. */
const PARALLEL = 16;

/** The folder of a VM on the backup server: each backup is a folder in it that is named by its source. */
export class VmFolder {
  readonly server: Host;
  readonly path: AbsolutePath;
  readonly #vmId: VmId;

  constructor(server: Host, basePath: AbsolutePath, vmId: VmId) {
    this.server = server;
    this.path = joinPath(basePath, vmId);
    this.#vmId = vmId;
  }

  /** A path in the folder of a backup. */
  at(source: string, ...names: readonly string[]): AbsolutePath {
    return joinPath(this.path, source, ...names);
  }

  /**
   * Finds the backups of a chain. Manifests are read only when one is missing: they tell what a flatten put in its place.
   * Throws `notFound`, naming the increment.
   */
  async resolve(chain: Chain): Promise<Links<Stored>> {
    const all = await this.#sources(chain);
    const isHere = chain.every(({ source }) => all.includes(source));
    return resolveChain(isHere ? all.map((source) => toStored(source)) : await this.stored(chain), chain, this.#vmId);
  }

  /** The name of a backup where it is there, or of the one that a flatten merged it into. */
  async holding(source: string): Promise<string | undefined> {
    const names = await this.#sources([]);
    if (names.length === 0 || names.includes(source)) return names.find((name) => name === source);
    return (await this.stored([], 'even damaged')).find(({ replaces }) => replaces.includes(source))?.source;
  }

  /** Whether no backup is there at all. */
  async isEmpty(): Promise<boolean> {
    return (await this.#sources([])).length === 0;
  }

  /** All backups of the VM, with what they replace. `even damaged`: what cannot be read replaces nothing. */
  async stored(chain: readonly Increment[], which: 'sound' | 'even damaged' = 'sound'): Promise<Stored[]> {
    const queue = await this.#sources(chain);
    const found: Stored[] = [];
    const read = (source: string): Promise<Manifest | undefined> =>
      which === 'sound' ? this.manifest(source) : this.manifest(source).catch(ifKind('damaged', undefined));
    const worker = async (): Promise<void> => {
      for (let source = queue.shift(); source !== undefined; source = queue.shift()) {
        found.push(toStored(source, (await read(source))?.replaces));
      }
    };
    await Promise.all(Array.from({ length: PARALLEL }, worker));
    return found;
  }

  /** The manifest of a backup; undefined for one of the stock driver, which has none. Throws `damaged`. */
  async manifest(source: string): Promise<Manifest | undefined> {
    const path = this.at(source, MANIFEST_FILE);
    const text = await this.server.files.read(path, '').catch(ifMissing('' as const));
    return text.length === 0 ? undefined : parseManifest(text.toString(), path);
  }

  /** The plain files of a backup, by name. Throws `notFound`. */
  async filesOf(source: string, dryRun: readonly FileEntry[] = []): Promise<FileEntry[]> {
    return (await this.server.files.list(this.at(source), dryRun)).filter(({ type }) => type === 'file');
  }

  /**
   * The files of all backups of a chain, in its order. Throws `damaged` when one that is asked for is gone or cut off: qemu
   * takes what is missing for clusters that were never written, and would show the disk of another time. Of a backup whose
   * manifest cannot be read nothing is known, as of those of the stock driver.
   */
  async chainFiles(links: Links<Stored>, isAsked: (name: string) => boolean = isDisk): Promise<ChainFile[]> {
    const lists = await Promise.all(
      links.map(async ({ increment, stored: { source } }, link) => {
        const [held, manifest] = await Promise.all([
          this.filesOf(source, dryRunFiles(increment.id)),
          this.manifest(source).catch(ifKind('damaged', undefined)),
        ]);
        const noted = manifest?.files ?? [];
        await this.#proveWhole(
          source,
          noted.filter(({ name }) => isAsked(name)),
          held,
        );
        const names = new Set([...held.map(({ name }) => name), ...noted.map(({ name }) => name)]);
        return [...names].map((name) => ({ name, path: this.at(source, name), link }));
      }),
    );
    return lists.flat();
  }

  /**
   * A disk may differ from its manifest when the stock driver has merged others into it (its flatten writes into the newest
   * folder). Such a one is whole: nothing that its tables name lies behind its end. Throws `damaged` for any other.
   */
  async #proveWhole(source: string, noted: Manifest['files'], held: readonly FileEntry[]): Promise<void> {
    const damaged = (name: string, cause?: unknown): DriverError =>
      new DriverError('damaged', `${name} in backup ${source} of VM ${this.#vmId} is not what the manifest says`, {
        host: this.server.name,
        hint: 'Nothing was changed; an increment before it can still be restored',
        cause,
      });
    for (const { name, sizeBytes, diskId } of noted) {
      const found = held.find((file) => file.name === name);
      if (found?.sizeBytes === sizeBytes) continue;
      if (found === undefined || diskId === undefined) throw damaged(name);
      await this.server.run(checkAlone(this.at(source, name))).catch((error) => {
        throw asDriverError(error).kind === 'damaged' ? damaged(name, error) : error;
      });
    }
  }

  /** The names of the backups, without what is not complete. */
  async #sources(chain: readonly Increment[]): Promise<string[]> {
    const dryRun = chain.map(({ source }) => ({ name: source, type: 'folder' as const, sizeBytes: 0, modifiedAt: 0 }));
    const entries = await this.server.files.list(this.path, dryRun).catch(ifMissing<FileEntry[]>([]));
    return entries.filter(({ name, type }) => type === 'folder' && /^[A-Za-z0-9]+$/.test(name)).map(({ name }) => name);
  }
}

/** Where a VM's backups are is said by its id alone; in the path of a URL it stands before the source. Throws `message`. */
export function vmIdIn(path: AbsolutePath, datastoreId: DatastoreId): string {
  const found = /\/([0-9]+)\/[A-Za-z0-9]+\/[^/]+$/.exec(path)?.[1];
  if (found !== undefined) return found;
  throw new DriverError('message', `the path of the backup URL is not .../${datastoreId}/<VM ID>/<SOURCE>/<DISK>`);
}

function isDisk(name: string): boolean {
  return parseDiskFile(name) !== undefined;
}

function toStored(source: string, replaces: readonly string[] = []): Stored {
  return { source, replaces, isNamed: (name) => name === source };
}

function ifMissing<T>(instead: T): (error: unknown) => T {
  return ifKind('notFound', instead);
}

function ifKind<T>(kind: ErrorKind, instead: T): (error: unknown) => T {
  return (error) => {
    if (error instanceof DriverError && error.kind === kind) return instead;
    throw error;
  };
}

function dryRunFiles(incrementId: number): FileEntry[] {
  return ['vm.xml', `disk.0.${incrementId}`].map((name) => ({ name, type: 'file', sizeBytes: 0, modifiedAt: 0 }));
}
