import { cpSync, rmSync } from 'node:fs';
import { type Known, withAttribute } from './fault-world';
import { testKills } from './kills';

testKills('backup', [{ victims: ['action', 'restic', 'connection', 'sftp'], sftpOnly: [] }], async (faults) => {
  const { world } = faults;
  const repository = world.repository(1);
  faults.init(repository);
  const disk = faults.newDisk('vm1');
  const chain = await faults.makeChain(1, disk, 1);
  disk.change(70);
  faults.stage(1, disk, 1, '1');
  const staging = faults.stagingOf(1);
  cpSync(staging, `${staging}.laid`, { recursive: true });
  return {
    repository,
    host: 'host1',
    lay: () => {
      rmSync(staging, { recursive: true, force: true });
      cpSync(`${staging}.laid`, staging, { recursive: true });
    },
    start: (bandwidthKib) => {
      const [args, message] = world.backupCall(1, [0], 1);
      const stdin = bandwidthKib === undefined ? message : withAttribute(message, 'RESTIC_BWLIMIT', bandwidthKib);
      return world.start('restic/backup', args, stdin);
    },
    lost: async (answered) => {
      const lost: string[] = [];
      const all: Known[] = [...chain];
      if (answered !== undefined) all.push({ id: 1, source: answered.stdout.split(' ')[0] ?? '' });
      for (const { id } of all) {
        const differs = await faults.differs(1, all, id, disk.at(String(id)));
        if (differs !== undefined) lost.push(`${id}: ${differs}`);
      }
      return lost;
    },
  };
});
