import { readFile } from 'node:fs/promises';
import { realHosts } from '../action/real-hosts';
import type { Driver, Engine } from '../engine/engine';
import { DriverError } from '../errors';
import type { Hosts } from '../host/hosts';
import { OnedClient } from '../opennebula/client';
import { type Datastore, parseDatastore } from '../opennebula/datastore';
import { datastoreDocument, singleValue } from '../opennebula/datastore-document';
import type { Element } from '../opennebula/document';
import { type AbsolutePath, type DatastoreId, joinPath, parseAbsolutePath, parseDatastoreId } from '../opennebula/ids';
import { parseTemplateFile, type TemplateAttribute } from '../opennebula/template-file';
import { usage } from './call';
import { nearestName } from './nearest';
import type { ControlContext } from './subcommand';

/** oned counts from 0, and never comes to this. */
const NO_DATASTORE = 2 ** 31 - 1;

/** What `open` needs of the context. */
type Means = Pick<ControlContext, 'line' | 'screen' | 'frontEnd' | 'env' | 'signal' | 'drivers'>;

/** The template of a datastore as a file holds it; whether oned knows it is not said. */
export interface TemplateOfFile {
  readonly file: string;
  readonly driver: Driver;
  /** All attributes, each with its place in the file. */
  readonly attributes: readonly TemplateAttribute[];
}

/** A datastore to work with. */
export interface OpenedDatastore {
  readonly datastore: Datastore;
  readonly driver: Driver;
  /** NAME, for people. */
  readonly name: string;
  readonly from: 'oned' | 'file';
  /** oned has given it no id yet. */
  readonly isNew: boolean;
  /** The DATASTORE element: oned's own, or the one that it would show of the file. */
  readonly document: Element;
  /** The file, if it is from one. */
  readonly file?: TemplateOfFile;
  /** The machines; one connection each, closed when the subcommand has ended. Throws `config`. */
  readonly hosts: () => Hosts;
  /** The same without the limits that the datastore sets, which nobody can read while an attribute is wrong. */
  readonly hostsWithoutLimits: () => Hosts;
  /** Reads the attributes. Throws `config`. */
  readonly engine: () => Engine;
}

/** Opens datastores, and closes all that they opened. */
export class Datastores {
  readonly #means: Means;
  readonly #hosts: Hosts[] = [];

  constructor(means: Means) {
    this.#means = means;
  }

  /** By its id, from oned; or by the file of its template. Throws `usage`, `notFound`, `config` or `oned`. */
  async open(fileOrId: string): Promise<OpenedDatastore> {
    return /^[0-9]+$/.test(fileOrId) ? this.#fromOned(fileOrId) : this.#fromFile(fileOrId);
  }

  /** As it would be: no datastore has its id, so nothing is stored in it. Throws `notFound` or `config`. */
  openNew(file: string): Promise<OpenedDatastore> {
    const id = parseDatastoreId(String(NO_DATASTORE), 'the id of no datastore');
    return this.#fromFile(file, { id, basePath: joinPath(this.#means.frontEnd.varDir, 'datastores', id) });
  }

  async close(): Promise<void> {
    await Promise.all(this.#hosts.map((hosts) => hosts.close()));
  }

  async #fromOned(text: string): Promise<OpenedDatastore> {
    const { line, frontEnd, signal, drivers } = this.#means;
    const given = ['id', 'base-path'].find((name) => line.text(name) !== undefined);
    if (given !== undefined)
      throw usage(line.subcommand.name, `--${given} is for a FILE; oned says it of datastore ${text}`);
    const client = new OnedClient(await frontEnd.endpoint(), await frontEnd.session(), signal);
    const document = await client.datastoreInfo(parseDatastoreId(text, 'ID', 'usage'));
    const driver = driverOf(drivers, document.optionalTextOf('DS_MAD'), `datastore ${text}`);
    return this.#opened({ document, driver, name: document.optionalTextOf('NAME') ?? '', from: 'oned' });
  }

  async #fromFile(path: string, place = this.#placeOf(path)): Promise<OpenedDatastore> {
    const file = await readTemplate(path, this.#means.drivers);
    const { driver, attributes } = file;
    const document = datastoreDocument(attributes, place);
    return this.#opened({ document, driver, name: singleValue(attributes, 'NAME') ?? '', from: 'file', file });
  }

  /** What a file cannot say, and only oned or the operator knows. */
  #placeOf(file: string): { id: DatastoreId; basePath: AbsolutePath } {
    const { line, frontEnd } = this.#means;
    const path = line.optional('base-path', parseAbsolutePath);
    const last = path?.slice(path.lastIndexOf('/') + 1) ?? '';
    const id =
      line.optional('id', parseDatastoreId) ?? (/^[0-9]{1,10}$/.test(last) ? parseDatastoreId(last, '') : undefined);
    if (id === undefined) {
      throw usage(
        line.subcommand.name,
        `${file} does not say which datastore it is: give its --id N, as oned numbers it`,
      );
    }
    return { id, basePath: path ?? joinPath(frontEnd.varDir, 'datastores', id) };
  }

  #opened(found: Pick<OpenedDatastore, 'document' | 'driver' | 'name' | 'from' | 'file'>): OpenedDatastore {
    const { screen, frontEnd, env, signal } = this.#means;
    const { driver } = found;
    const datastore = parseDatastore(found.document, driver.name, found.file?.file);
    const reach = (limits: Datastore | undefined): (() => Hosts) => {
      let opened: Hosts | undefined;
      return () => {
        if (opened === undefined) {
          opened = realHosts({ driver, datastore: limits, frontEnd, env, signal, report: screen });
          this.#hosts.push(opened);
        }
        return opened;
      };
    };
    const hosts = reach(datastore);
    let engine: Engine | undefined;
    const open = (): Engine => {
      engine ??= driver.open({
        ...{ datastore, hosts: hosts(), signal },
        progress: (done, total) => screen.transfer(done, total),
        log: (text) => screen.note(text),
      });
      return engine;
    };
    return {
      ...found,
      isNew: datastore.id === NO_DATASTORE,
      datastore,
      hosts,
      hostsWithoutLimits: reach(undefined),
      engine: open,
    };
  }
}

/** Reads a template from a file, and finds its driver. Throws `notFound`, or `config` with file, line and column. */
export async function readTemplate(file: string, drivers: readonly Driver[]): Promise<TemplateOfFile> {
  const { attributes, mistakes } = parseTemplateFile(await readTemplateFile(file));
  const [first] = mistakes;
  if (first !== undefined) {
    const { at, what, hint } = first;
    throw new DriverError('config', `${file}:${at.line}:${at.column}: ${what}`, { hint });
  }
  return { file, attributes, driver: driverOf(drivers, singleValue(attributes, 'DS_MAD'), file) };
}

/** The bytes of a template file. Throws `notFound`. */
export async function readTemplateFile(file: string): Promise<Buffer> {
  return readFile(file).catch((cause: NodeJS.ErrnoException) => {
    const why = cause.code === 'ENOENT' ? 'does not exist' : `cannot be read: ${cause.code}`;
    const details = { hint: 'Give the file of a template, or the id of a datastore', cause };
    throw new DriverError('notFound', `${file} ${why}`, details);
  });
}

/** The driver that a DS_MAD names. Throws `config`. */
function driverOf(drivers: readonly Driver[], name: string | undefined, what: string): Driver {
  const driver = drivers.find((one) => one.name === name?.trim());
  if (driver !== undefined) return driver;
  const names = drivers.map((one) => one.name);
  const near = name === undefined ? undefined : nearestName(name, names);
  const found = name === undefined ? 'has no DS_MAD' : `has DS_MAD ${JSON.stringify(name.slice(0, 40))}`;
  throw new DriverError('config', `${what} ${found}, and not one of ${names.join(', ')}`, {
    hint: near === undefined ? 'Choose a backup datastore of these drivers' : `Did you mean "${near}"?`,
  });
}
