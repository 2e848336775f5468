import { type Check, failed, fine, type Link } from '../engine/examination';
import type { DriverError } from '../errors';
import { checkAttributes } from '../opennebula/attributes';
import { parseHostNames } from '../opennebula/ids';
import { BRIDGES } from './known-machines';
import type { OpenedDatastore } from './open-datastore';

/** That each attribute can be read. `unreadable`: why the driver does not open the datastore. */
export function templateLink(
  { datastore, driver }: Pick<OpenedDatastore, 'datastore' | 'driver'>,
  unreadable: DriverError | undefined,
): Link {
  const { template, correctedBy } = datastore;
  const examine = async (): Promise<[Check, ...Check[]]> => {
    const { problems } = checkAttributes({ template, correctedBy }, (attributes) => {
      attributes.optional(BRIDGES, parseHostNames);
      driver.readConfig(attributes);
    });
    const [first = unreadable, ...rest] = problems.map(({ error }) => error);
    if (first === undefined) return [fine('all attributes can be read')];
    const broken = (error: DriverError): Check => ({
      ...failed(error),
      hint: error.hint ?? `Correct it ${correctedBy}`,
    });
    return [broken(first), ...rest.map(broken)];
  };
  return { what: 'template', examine };
}
