import { withAttribute } from './fault-world';
import { testKills } from './kills';

const LANES = [
  { victims: ['action', 'restic', 'connection'], sftpOnly: [] },
  { victims: ['sftp'], sftpOnly: ['server'] }, // only here does restic reach the repository by SFTP
] as const;

testKills('rm', LANES, async (faults) => {
  const { world } = faults;
  const repository = world.repository(1);
  faults.init(repository);
  const disk = faults.newDisk('vm1');
  const doomed = await faults.makeChain(1, disk, 3);
  const kept = await faults.makeChain(1, disk, 2, 'kept'); // shares most of its data with the other
  return {
    repository,
    host: 'server',
    lay: () => {},
    start: (bandwidthKib) => {
      const message = world.imageMessage('rm-increments', 1, doomed, (text) =>
        bandwidthKib === undefined ? text : withAttribute(text, 'RESTIC_BWLIMIT', bandwidthKib),
      );
      return world.start('restic/rm', ['6'], message);
    },
    lost: async (answered) => {
      const lost: string[] = [];
      for (const { id } of kept) {
        const differs = await faults.differs(1, kept, id, disk.at(`kept${id}`));
        if (differs !== undefined) lost.push(`${id}: ${differs}`);
      }
      const stored = faults.restic(repository, 'snapshots', '--json', '--no-lock').stdout;
      const gone = (JSON.parse(stored) as unknown[]).length === kept.length;
      return answered === undefined || gone ? lost : [...lost, `snapshots that should be gone: ${stored}`];
    },
  };
});
