import { DriverError } from '../errors';
import { parseIncrementId } from '../opennebula/ids';
import { parseImage } from '../opennebula/image';
import { chainUpTo } from '../opennebula/increment';
import type { Verb } from './verb';

/** ls: the disks of one increment. */
export const ls: Verb = {
  name: 'ls',
  summary: 'Lists the disks of a backup as URLs, as they were at one increment.',
  positionals: [],
  option: { flag: 'i', name: 'INCREMENT_ID', describe: 'The increment; -1, or none at all: the last' },
  input: 'DS_DRIVER_ACTION_DATA with DATASTORE and IMAGE, XML or base64',
  output: 'JSON: {"0":"URL","1":"URL","tpm":"URL"}',
  example: '-i 2 --message ls.xml',
  async run({ argument, message, engine }) {
    const { vmId, jobId, chain } = parseImage(message.child('IMAGE'));
    const wanted = argument('INCREMENT_ID');
    const last = wanted === '' || wanted === '-1';
    const upTo = last ? chain : chainUpTo(chain, parseIncrementId(wanted, 'INCREMENT_ID', 'usage'));
    const { disks, tpm } = await engine().files({ vmId, jobId, chain: upTo });
    if (disks.size === 0) throw new DriverError('notFound', `the backup of VM ${vmId} holds no disk`);
    const urls = [...disks].map(([id, { url }]) => [String(id), url]);
    const json = JSON.stringify(Object.fromEntries(tpm === undefined ? urls : [...urls, ['tpm', tpm.url]]));
    // oned's locale may be C: what is not ASCII goes as JSON's own escapes
    return [
      json.replace(/[^\x20-\x7e]/g, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`),
    ];
  },
};
