import type { Test } from 'tap';
import type { VmId } from '../../lib/opennebula/ids';
import { extend, imageOf, type Kept, samePoint } from '../conformance/scene';
import type { Story } from '../conformance/story';
import type { ZfsWorld } from '../conformance/zfs-bed';

const none = (vmId: number): Kept => ({ vmId: vmId as VmId, jobId: undefined, chain: [], stages: [] });

/** What others do to a server, or a dead action leaves there, and the next backup has to get over by itself. */
export async function testSurvivals(t: Test, { machine, bed }: ZfsWorld, story: Story): Promise<void> {
  const [first] = story.neighbour;

  await t.test('a bookmark that is newer than the newest backup', async (t) => {
    const dataset = 'tank/blank/100/21';
    const older = await extend(bed, bed.open(), none(21), first);
    const newer = await extend(bed, bed.open(), none(21), story.foreign);
    await machine.sh(`zfs bookmark ${dataset}@one-backup-${newer.chain[0]?.source} ${dataset}#zrepl_CURSOR`);
    await bed.open().remove(imageOf(newer));
    await samePoint(t, bed, older, first, story);
    const next = await extend(bed, bed.open(), none(21), story.foreign);
    await samePoint(t, bed, next, story.foreign, story);
    t.equal(await machine.sh(`zfs list -Ho name -t bookmark ${dataset}`), `${dataset}#zrepl_CURSOR`);
  });
}
