import { DriverError } from '../errors';
import { parseImageId } from '../opennebula/ids';
import { parseImage } from '../opennebula/image';
import { formatChain } from '../opennebula/increment';
import { expectSameId } from './same-id';
import type { Verb } from './verb';

/** increment_flatten: merges the oldest increments of a chain. */
export const incrementFlatten: Verb = {
  name: 'increment_flatten',
  summary: 'Merges the oldest increments of a chain into one full backup, so that KEEP_LAST remain.',
  positionals: [{ name: 'IMAGE_ID', describe: 'the id of the backup image' }],
  input: 'DS_DRIVER_ACTION_DATA with DATASTORE, IMAGE and EXTRA_DATA/KEEP_LAST, XML or base64',
  output: 'SIZE_MB ID:SOURCE,ID:SOURCE,... of what remains; nothing if there is nothing to do',
  example: '6 --message increment_flatten.xml',
  async run({ argument, message, engine }) {
    const image = parseImage(message.child('IMAGE'));
    expectSameId(parseImageId(argument('IMAGE_ID'), 'IMAGE_ID', 'usage'), image.id, 'IMAGE_ID');
    const keepLast = message.child('EXTRA_DATA').textOf('KEEP_LAST');
    if (!/^[1-9][0-9]{0,8}$/.test(keepLast)) {
      throw new DriverError(
        'message',
        `EXTRA_DATA/KEEP_LAST is ${JSON.stringify(keepLast.slice(0, 40))}, which is not a number of at least 1`,
      );
    }
    const flattened = await engine().flatten(image, Number(keepLast));
    return flattened === undefined ? [] : [`${flattened.sizeMb} ${formatChain(flattened.chain)}`];
  },
};
