import t from 'tap';
import type { Command } from '../../../../lib/command/command';
import { destroyBackups } from '../../../../lib/engine/zfs/remove';
import type { State, VmDataset } from '../../../../lib/engine/zfs/vm-dataset';
import { DriverError } from '../../../../lib/errors';

/** More than one command names. */
const SOURCES = Array.from({ length: 250 }, (_, number) => `source${number}`);
const NAME = 'tank/backups/100/7';

/** A VM's dataset with held backups, on a server that notes what zfs is told, and refuses one command. */
function datasetThat(refuses: (words: readonly string[]) => boolean): {
  dataset: VmDataset;
  state: State;
  told: string[];
} {
  const told: string[] = [];
  const run = async (command: Command<unknown>): Promise<unknown> => {
    const words = command.argv.slice(command.argv.indexOf('zfs') + 1);
    const [verb = ''] = words;
    if (verb === 'list') return [];
    const named = words.flatMap((word) => word.match(/source\d+/g) ?? []);
    told.push(`${verb} ${named[0]}..${named.at(-1)}`);
    if (refuses(words)) throw new DriverError('failed', 'no permission');
    return undefined;
  };
  const backups = SOURCES.map((source) => ({ source, holds: 1 }));
  return {
    dataset: {
      server: { run },
      access: { hold: true },
      name: NAME,
      parent: 'tank/backups/100',
    } as unknown as VmDataset,
    state: { backups } as unknown as State,
    told,
  };
}

t.test('backups go portion by portion: released first, then destroyed', async (t) => {
  const { dataset, state, told } = datasetThat(() => false);
  await destroyBackups(dataset, SOURCES, new AbortController().signal, state);
  t.same(told, [
    'release source0..source199',
    'release source200..source249',
    'destroy source0..source199',
    'destroy source200..source249',
  ]);
});

t.test('when not all can be released, what was is held again', async (t) => {
  const { dataset, state, told } = datasetThat(
    ([verb, , first = '']) => verb === 'release' && first.endsWith('source200'),
  );
  await t.rejects(destroyBackups(dataset, SOURCES, new AbortController().signal, state), DriverError);
  t.same(told, ['release source0..source199', 'release source200..source249', 'hold source0..source199']);
});

t.test('when not all can be destroyed, what is left is held again', async (t) => {
  const { dataset, state, told } = datasetThat(
    (words) => words[0] === 'destroy' && words.join(' ').includes('source249'),
  );
  await t.rejects(destroyBackups(dataset, SOURCES, new AbortController().signal, state), DriverError);
  t.equal(told.at(-1), 'hold source200..source249');
});
