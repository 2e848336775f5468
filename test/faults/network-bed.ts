import type { Test } from 'tap';
import type { FrontEndOptions, Running } from '../helpers/front-end';
import { startFaultWorld, withAttributes } from './fault-world';

export type Action = 'monitor' | 'backup' | 'flatten' | 'ls' | 'rm';

/** VM 1 with a chain, and its next increment in the staging folder. */
export async function makeBed(t: Test, length: number, options: FrontEndOptions = {}) {
  const faults = await startFaultWorld(options);
  t.teardown(() => faults.stop());
  const { world } = faults;
  const repository = world.repository(1);
  faults.init(repository);
  const disk = faults.newDisk('disk');
  const chain = await faults.makeChain(1, disk, length);
  faults.keep();
  disk.change(20);
  faults.stage(1, disk, length, String(length));
  const edited = (attributes: Readonly<Record<string, string>>) => (text: string) => withAttributes(text, attributes);
  const actions = (
    attributes: Readonly<Record<string, string>> = {},
    edit = (text: string): string => text,
  ): Record<Action, () => Running> => ({
    monitor: () => world.start(world.script('monitor'), ['100'], world.message('monitor', edit)),
    backup: () => {
      const [args, message] = world.backupCall(1, [0], length);
      return world.start(world.script('backup'), args, edit(edited(attributes)(message)));
    },
    flatten: () =>
      world.start(
        world.script('increment_flatten'),
        ['6'],
        world.imageMessage('increment_flatten', 1, chain, (text) => edit(edited(attributes)(text))),
      ),
    ls: () => world.start(world.script('ls'), ['-i', '-1'], world.imageMessage('ls-i2', 1, chain, edit)),
    rm: () =>
      world.start(
        world.script('rm'),
        ['6'],
        world.imageMessage('rm-increments', 1, chain, (text) => edit(edited(attributes)(text))),
      ),
  });
  return { ...{ faults, world, repository, disk, chain, actions } };
}
