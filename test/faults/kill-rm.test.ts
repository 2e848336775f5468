import { isCutShort } from '../helpers/drivers';
import { withAttributes } from './fault-world';
import { testKills } from './kills';

const LANES = [
  { driver: 'restic', victims: ['action', 'restic', 'connection'] },
  { driver: 'restic', victims: ['session'], sftpOnly: ['server'] }, // only here does restic reach the repository by SFTP
  { driver: 'rsync', victims: ['action', 'connection', 'tool'] },
  { driver: 'zfs', victims: ['connection', 'tool', 'action', 'tool'] },
] as const;

testKills('rm', LANES, async (faults) => {
  const { world } = faults;
  const repository = world.repository(1);
  faults.init(repository);
  const disk = faults.newDisk('vm1');
  const [long, short] = isCutShort(world.driver) ? [2, 1] : [3, 2];
  const doomed = await faults.makeChain(1, disk, long);
  const kept = await faults.makeChain(1, disk, short, 'kept'); // shares most of its data with the other
  return {
    repository,
    host: 'server',
    lay: () => {},
    start: (attributes) => {
      const edit = (text: string): string => withAttributes(text, attributes);
      return world.start(world.script('rm'), ['6'], world.imageMessage('rm-increments', 1, doomed, edit));
    },
    kept: kept.map(({ id }) => id),
    lost: async (points, answered) => {
      const lost: string[] = [];
      for (const id of points) {
        const differs = await faults.differs(1, kept, id, disk.at(`kept${id}`));
        if (differs !== undefined) lost.push(`${id}: ${differs}`);
      }
      const stored = world.traits.stored(repository);
      const gone = stored.length === kept.length;
      return answered === undefined || gone ? lost : [...lost, `backups that should be gone are among ${stored}`];
    },
  };
});
