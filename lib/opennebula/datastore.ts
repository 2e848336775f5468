import { DriverError } from '../errors';
import type { Element } from './document';
import { type AbsolutePath, type DatastoreId, parseAbsolutePath, parseDatastoreId } from './ids';

/** A backup datastore, as far as all drivers read it alike. */
export interface Datastore {
  readonly id: DatastoreId;
  /** The folder of this datastore on the backup server. */
  readonly basePath: AbsolutePath;
  /** The attributes of its template; each driver reads its own. */
  readonly template: Element;
  /** How an attribute is corrected, for the end of a hint: `with: onedatastore update 100`, or `in backups.ds`. */
  readonly correctedBy: string;
}

/**
 * Reads a DATASTORE element: oned's own, or that of the template in a file. Throws `message`, or `config` when the
 * datastore belongs to another driver.
 */
export function parseDatastore(datastore: Element, driver: string, file?: string): Datastore {
  const id = parseDatastoreId(datastore.textOf('ID'), 'DATASTORE/ID');
  const owner = datastore.textOf('DS_MAD');
  if (owner !== driver) {
    throw new DriverError('config', `datastore ${id} has DS_MAD ${JSON.stringify(owner)}, this driver is "${driver}"`, {
      hint: `Run the action of remotes/datastore/${/^[a-z]+$/.test(owner) ? owner : 'its driver'} instead`,
    });
  }
  return {
    id,
    basePath: parseAbsolutePath(datastore.textOf('BASE_PATH'), 'DATASTORE/BASE_PATH'),
    template: datastore.child('TEMPLATE'),
    correctedBy: file === undefined ? `with: onedatastore update ${id}` : `in ${file}`,
  };
}
