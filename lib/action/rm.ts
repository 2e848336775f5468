import { parseImageId } from '../opennebula/ids';
import { parseImage } from '../opennebula/image';
import { expectSameId } from './same-id';
import type { Verb } from './verb';

/** rm: removes all backups of an image. */
export const rm: Verb = {
  name: 'rm',
  summary: 'Removes all increments of a backup image. What is gone already is fine.',
  positionals: [{ name: 'IMAGE_ID', describe: 'the id of the backup image' }],
  input: 'DS_DRIVER_ACTION_DATA with DATASTORE and IMAGE, XML or base64',
  output: 'nothing',
  example: '6 --message rm.xml',
  async run({ argument, message, engine }) {
    const element = message.child('IMAGE');
    expectSameId(
      parseImageId(argument('IMAGE_ID'), 'IMAGE_ID', 'usage'),
      parseImageId(element.textOf('ID'), 'IMAGE/ID'),
      'IMAGE_ID',
    );
    // oned's own word for a backup that failed with an empty answer (contract, "How an answer is read").
    const increments = element.find('BACKUP_INCREMENTS')?.all('INCREMENT') ?? [];
    if (increments.length === 0 && element.optionalTextOf('SOURCE') === '-') return [];
    const image = parseImage(element);
    await engine().remove(image);
    return [];
  },
};
