import { parseDatastoreId } from '../opennebula/ids';
import { expectSameId } from './same-id';
import type { Verb } from './verb';

const MB = 2 ** 20;

/** monitor: the space of the backup datastore. */
export const monitor: Verb = {
  name: 'monitor',
  summary: 'Tells how much space the backup datastore has, is using and has left, in MB.',
  positionals: [{ name: 'DS_ID', describe: 'the id of the datastore' }],
  input: 'DS_DRIVER_ACTION_DATA with DATASTORE, XML or base64',
  output: 'USED_MB=, TOTAL_MB= and FREE_MB=, a line each',
  example: '100 --message monitor.xml',
  async run({ argument, datastore, engine }) {
    expectSameId(parseDatastoreId(argument('DS_ID'), 'DS_ID', 'usage'), datastore().id, 'DS_ID');
    const { totalBytes, freeBytes } = await engine().space();
    const totalMb = Math.floor(totalBytes / MB);
    const freeMb = Math.floor(freeBytes / MB);
    return [`USED_MB=${totalMb - freeMb}`, `TOTAL_MB=${totalMb}`, `FREE_MB=${freeMb}`];
  },
};
