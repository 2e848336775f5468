import { cpSync, rmSync } from 'node:fs';
import { type Known, withAttributes } from './fault-world';
import { testKills } from './kills';

const LANES = [
  { driver: 'restic', victims: ['action', 'restic', 'connection', 'session'] },
  { driver: 'rsync', victims: ['action', 'sender', 'receiver', 'connection', 'session', 'tool'] },
  { driver: 'zfs', victims: ['receiver', 'qemu-img', 'sender', 'tool', 'session', 'action', 'connection', 'action'] },
] as const;

testKills('backup', LANES, async (faults) => {
  const { world } = faults;
  const repository = world.repository(1);
  faults.init(repository);
  const disk = faults.newDisk('vm1');
  const chain = await faults.makeChain(1, disk, 1);
  disk.change(24);
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
    start: (attributes) => {
      const [args, message] = world.backupCall(1, [0], 1);
      return world.start(world.script('backup'), args, withAttributes(message, attributes));
    },
    kept: [0],
    lost: async (points, answered) => {
      const lost: string[] = [];
      const all: Known[] = [...chain];
      if (answered !== undefined) all.push({ id: 1, source: answered.stdout.split(' ')[0] ?? '' });
      for (const id of answered === undefined ? points : [...points, 1]) {
        const differs = await faults.differs(1, all, id, disk.at(String(id)));
        if (differs !== undefined) lost.push(`${id}: ${differs}`);
      }
      return lost;
    },
  };
});
