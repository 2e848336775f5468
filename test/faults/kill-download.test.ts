import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { difference } from '../helpers/disk';
import { withAttributes } from './fault-world';
import { testKills } from './kills';

const LANES = [
  { driver: 'restic', victims: ['action', 'restic', 'session'] }, // it has no connection of its own,
  { driver: 'rsync', victims: ['action', 'qemu-img', 'connection', 'tool'] },
] as const;

testKills(
  'download',
  LANES,
  async (faults) => {
    const { world } = faults;
    const repository = world.repository(1);
    faults.init(repository);
    const disk = faults.newDisk('vm1');
    disk.change(150); // what sends it is to be met
    const chain = await faults.makeChain(1, disk, 3);
    return {
      repository,
      host: 'server',
      lay: () => {},
      start: (attributes) => {
        world.serveDatastore((text) => withAttributes(text, attributes));
        return world.start(world.downloader, ['--stream', world.url(1, chain, 'disk.0.2')], '');
      },
      // What says that it succeeded has delivered the whole disk; and whatever happened, it can be had again.
      kept: [1],
      lost: async (_points, answered) => {
        if (answered === undefined) return [(await faults.differs(1, chain, 1, disk.at('1'))) ?? []].flat();
        const file = join(world.folder, 'downloaded');
        writeFileSync(file, Buffer.from(answered.stdout, 'latin1'));
        return [difference(file, disk.at('2')) ?? []].flat();
      },
    };
  },
  4, // each victim once: whatever ends it, it changes nothing
);
