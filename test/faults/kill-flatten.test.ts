import { isCutShort } from '../helpers/drivers';
import { chainIn, withAttributes } from './fault-world';
import { testKills } from './kills';

const LANES = [
  { driver: 'restic', victims: ['action', 'restic', 'connection'] },
  { driver: 'restic', victims: ['session'], sftpOnly: ['server'] }, // only here does restic reach the repository by SFTP
  { driver: 'rsync', victims: ['action', 'qemu-img', 'connection', 'tool'] },
  { driver: 'zfs', victims: ['connection', 'tool', 'action', 'tool'] },
] as const;

testKills('flatten', LANES, async (faults) => {
  const { world } = faults;
  const repository = world.repository(1);
  faults.init(repository);
  const disk = faults.newDisk('vm1');
  const chain = await faults.makeChain(1, disk, isCutShort(world.driver) ? 3 : 4);
  return {
    repository,
    host: 'server',
    lay: () => {},
    start: (attributes) => {
      const edit = (text: string): string => withAttributes(text, attributes);
      return world.start(
        world.script('increment_flatten'),
        ['6'],
        world.imageMessage('increment_flatten', 1, chain, edit),
      );
    },
    kept: chain.slice(-2).map(({ id }) => id), // KEEP_LAST is 2
    // By the old chain, too: oned may never hear of the new one.
    lost: async (points, answered) => {
      const lost: string[] = [];
      const chains = answered === undefined ? [chain] : [chainIn(answered), chain];
      for (const one of chains) {
        for (const id of points) {
          const differs = await faults.differs(1, one, id, disk.at(String(id)));
          if (differs !== undefined) lost.push(`${id} of ${JSON.stringify(one)}: ${differs}`);
        }
      }
      return lost;
    },
  };
});
