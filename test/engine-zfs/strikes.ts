import { randomFillSync } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import type { Test } from 'tap';
import type { BackupSource } from '../../lib/engine/engine';
import { type IncrementId, joinPath, type VmId } from '../../lib/opennebula/ids';
import { extend, fetch, type Kept, lastPoint, lay, refused, samePoint } from '../conformance/scene';
import type { Stage, Story } from '../conformance/story';
import type { ZfsWorld } from '../conformance/zfs-bed';
import { difference } from '../helpers/disk';
import { KILL_SESSION_OF_RSYNC } from '../helpers/zfs-server';

const VM = 1 as VmId;
const NEW_VM = 2 as VmId;
const MIB = 2 ** 20;

/** Makes a commit last some seconds, so that it can be struck half way. */
const SLOW_COMMIT = `cat >/usr/local/bin/qemu-img <<'END'
#!/bin/sh
[ "$1" != commit ] || { shift; set -- commit -r 50K "$@"; }
exec /usr/bin/qemu-img "$@"
END
chmod 755 /usr/local/bin/qemu-img`;

/** A kill, or a cut of power, in the middle of a backup: the last one stays what it was, and the next one is exact. */
export async function testStrikes(t: Test, world: ZfsWorld, story: Story): Promise<void> {
  const { machine, bed, powerOn } = world;
  let kept: Kept = { vmId: VM, jobId: undefined, chain: [], stages: [] };
  for (const stage of story.chain.slice(0, 2)) kept = await extend(bed, bed.open(), kept, stage);
  const [, , second, third, fourth] = story.chain;

  await t.test('kill -9 of qemu-img during a commit', async (t) => {
    await machine.sh(SLOW_COMMIT);
    const struck = strike(bed, kept, second, /merge the chain into/, () =>
      machine.sh(`${untilHalfDone(kept)}; pkill -KILL -x qemu-img`),
    );
    await refused(t, struck, 'failed', 'the backup');
    t.equal(await headOver(world, kept), '', 'the dataset is the last backup');
    await machine.sh('rm /usr/local/bin/qemu-img');
    kept = await extend(bed, bed.open(), kept, second);
  });

  await t.test('a cut of power during a commit', async (t) => {
    await machine.sh(SLOW_COMMIT);
    const struck = strike(bed, kept, third, /merge the chain into/, async () => {
      await machine.sh(`${untilHalfDone(kept)}; zpool sync tank`);
      await machine.powerOff();
    });
    await refused(t, struck, 'unreachable', 'the backup');
    await powerOn();
    t.match(await machine.sh('zpool status tank'), /state: ONLINE/, 'the pool is imported');
    t.match(await headOver(world, kept), /disk\.0 differ/, 'half of it had come to the disk');
    await samePoint(t, bed, kept, second, story);
    kept = await extend(bed, bed.open(), kept, third);
  });

  await t.test('a cut of power before a snapshot is held', async (t) => {
    const before = bed.stored().length; // of all VMs: other tests have theirs
    const struck = strike(bed, kept, fourth, /hold the snapshot/, () => machine.powerOff());
    await refused(t, struck, 'unreachable', 'the backup');
    await powerOn();
    t.equal(bed.stored().length, before + 1, 'the snapshot is there: what was said to be written is');
    kept = await extend(bed, bed.open(), kept, fourth);
  });

  await t.test('after all of them', async (t) => {
    for (const stage of kept.stages.slice(-2)) await samePoint(t, bed, kept, stage, story);
    t.equal(await headOver(world, kept), '', 'the dataset is the last backup');
    t.strictSame(bed.leftovers(), []);
  });

  await t.test('a connection that is killed while data comes', async (t) => {
    const none: Kept = { vmId: NEW_VM, jobId: undefined, chain: [], stages: [] };
    const { source, disk } = await layLarge(bed, none, story, 24);
    const receiving = `/tank/blank/100/.incoming/${NEW_VM}/.receiving-*/disk.0.0`;
    const isThere = `[ "$(stat -c %s ${receiving} 2>/dev/null || echo 0)" -gt ${MIB} ]`;
    const struck = backUpStruck(
      bed,
      source,
      /transfer the backup/,
      () => machine.sh(`${untilTrue(isThere)}; ${KILL_SESSION_OF_RSYNC}`),
      { ZFS_BWLIMIT: '256' }, // it lasts 96 s, for a busy machine that takes long to strike
    );
    await refused(t, struck, ['failed', 'unreachable'], 'the backup');
    t.equal(await machine.sh(`ls ${receiving} | wc -l`), '1', 'what has come is kept for the next backup');
    const { source: name } = await bed.open().backup(source);
    t.strictSame(bed.leftovers(), []);
    const point = lastPoint({ ...none, chain: [{ id: 0 as IncrementId, source: name }], stages: [story.foreign] });
    const { disks } = await bed.open().files(point);
    const url = [...disks.values()][0]?.url ?? '';
    t.equal(difference(await fetch(bed, bed.open(), url, story), disk), undefined, 'it is exact');
  });
}

/** Backs a stage up, and strikes just before the step with these words. */
async function strike(
  bed: ZfsWorld['bed'],
  kept: Kept,
  stage: Stage,
  at: RegExp,
  act: () => Promise<unknown>,
): Promise<unknown> {
  return backUpStruck(bed, await lay(bed, kept, stage), at, act);
}

async function backUpStruck(
  bed: ZfsWorld['bed'],
  source: BackupSource,
  at: RegExp,
  act: () => Promise<unknown>,
  attributes: Readonly<Record<string, string>> = {},
): Promise<unknown> {
  let struck: Promise<unknown> | undefined;
  const onStep = (what: string): void => {
    if (at.test(what)) struck ??= act();
  };
  try {
    return await bed.open({ onStep, attributes }).backup(source);
  } finally {
    await struck;
  }
}

/** Shell: waits until the disk is no more what the last backup has. */
function untilHalfDone({ vmId, chain }: Kept): string {
  const last = `.zfs/snapshot/one-backup-${chain.at(-1)?.source}`;
  return `cd /tank/blank/100/${vmId} && ${untilTrue(`! cmp -s disk.0 ${last}/disk.0`)}`;
}

/** Shell: waits for a condition, and fails when it does not come to hold: a test that misses its moment says so. */
function untilTrue(condition: string): string {
  return `n=0; until ${condition}; do n=$((n + 1)); [ $n -lt 1000 ] || { echo "in vain: ${condition.replace(/["$]/g, '')}" >&2; exit 1; }; sleep 0.05; done`;
}

/** How the dataset differs from its last backup. */
async function headOver({ machine }: ZfsWorld, { vmId, chain }: Kept): Promise<string> {
  const last = `.zfs/snapshot/one-backup-${chain.at(-1)?.source}`;
  return (await machine.run(`cd /tank/blank/100/${vmId} && diff -rq . ${last}`)).stdout;
}

/** Lays a full backup with a raw disk of so many random MiB. */
export async function layLarge(
  bed: ZfsWorld['bed'],
  kept: Kept,
  story: Story,
  mib: number,
): Promise<{ readonly source: BackupSource; readonly disk: string }> {
  const source = await lay(bed, kept, story.foreign);
  const disk = joinPath(source.folder, 'disk.0.0');
  await writeFile(disk, randomFillSync(Buffer.alloc(mib * MIB)));
  return { source, disk };
}
