import { DriverError } from '../errors';
import type { Verb } from './verb';

/** An action that a backup datastore does not have; oned calls it all the same (contract, "How a driver is called"). */
export function unsupported(name: string): Verb {
  return {
    name,
    summary: `Backup datastores have no action ${name}; this script says so.`,
    positionals: [],
    anyArguments: true,
    input: 'not read',
    output: 'nothing',
    example: '',
    message: async () => undefined,
    async run() {
      throw new DriverError('unsupported', `${name} is not supported by backup datastores`);
    },
  };
}
