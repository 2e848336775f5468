import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';
import type { VmId } from '../../lib/opennebula/ids';
import {
  extend,
  fetch,
  imageOf,
  joined,
  type Kept,
  lastPoint,
  lay,
  pointAt,
  refused,
  samePoint,
} from '../conformance/scene';
import type { Stage, Story } from '../conformance/story';
import type { ZfsWorld } from '../conformance/zfs-bed';
import { difference } from '../helpers/disk';
import { bytesOf, layIncrement, layWhole, type PlainDisk } from './plain-disk';
import { layLarge } from './strikes';

const VM = 7 as VmId;
const PATIENT = 8 as VmId;
const LARGE = 9 as VmId;
const RESIZED = 11 as VmId;
const NONE: Kept = { vmId: VM, jobId: undefined, chain: [], stages: [] };
const DATASET = `tank/blank/100/${VM}`;

/** What zrepl and sanoid leave at one moment: snapshots of all, a hold, a bookmark. */
const others = (n: number): string => `set -e
  zfs snapshot ${DATASET}@zrepl_20240101_00000${n}_000
  zfs hold zrepl_last_received_J_offsite ${DATASET}@zrepl_20240101_00000${n}_000
  zfs bookmark ${DATASET}@zrepl_20240101_00000${n}_000 ${DATASET}#zrepl_CURSOR_G_${n}_J_offsite
  zfs snapshot -r tank/blank/100@autosnap_2024-01-0${n}_00:00:00_daily`;

const THEIRS = `zfs list -Hpo name,guid,userrefs -t all -r tank/blank/100 | grep -v @one-backup-
  cat /tank/blank/100/${VM}/notes/file`;

/** Snapshots that are not ours, ours that somebody destroyed, and very many of them. */
export async function testForeign(t: Test, { machine, bed }: ZfsWorld, story: Story): Promise<void> {
  const [first, second, third, fourth] = story.chain;
  const kept = (stages: readonly Stage[], sources: readonly string[]): Kept => ({
    ...NONE,
    stages,
    chain: stages.map(({ incrementId }, index) => ({ id: incrementId as never, source: sources[index] ?? '' })),
  });
  let chain: Kept = NONE;

  await t.test('what zrepl, sanoid and the admin have there', async (t) => {
    const engine = bed.open();
    chain = await extend(bed, engine, chain, first);
    await machine.sh(others(1));
    await machine.sh(`zfs create ${DATASET}/notes && chown oneadmin: /${DATASET}/notes
      echo theirs >/${DATASET}/notes/file; zfs create tank/blank/100/theirs`);
    chain = await extend(bed, engine, chain, second);
    await machine.sh(others(2));

    const abort = new AbortController();
    const onStep = (what: string): void => (/merge the chain into/.test(what) ? abort.abort() : undefined);
    const source = await lay(bed, chain, third);
    await refused(t, bed.open({ signal: abort.signal, onStep }).backup(source), 'cancelled', 'a backup');
    chain = await extend(bed, engine, chain, third);
    await machine.sh(others(3));
    const before = await machine.sh(THEIRS);
    await engine.flatten(imageOf(chain), 2);
    chain = { ...chain, chain: chain.chain.slice(1), stages: chain.stages.slice(1) };
    for (const stage of chain.stages) await samePoint(t, bed, chain, stage, story);
    t.equal(await machine.sh(THEIRS), before, 'all that is of others is there, as it was');
  });

  await t.test('a backup that was destroyed by hand', async (t) => {
    const engine = bed.open();
    const [older, newer] = chain.chain.map(({ source }) => source) as [string, string];
    await machine.sh(
      `zfs release one-backup ${DATASET}@one-backup-${newer} && zfs destroy ${DATASET}@one-backup-${newer}`,
    );
    const listed = await engine.inventory?.().points(VM);
    t.strictSame(
      listed?.map(({ source }) => source),
      [older],
      'it is not listed any more',
    );
    await refused(t, engine.files(pointAt(chain, third.incrementId)), 'notFound', 'its files');
    await samePoint(t, bed, chain, second, story);

    const next = await lay(bed, chain, fourth);
    const { message } = await engine.backup(next).then(
      () => new Error('nothing'),
      (error: Error) => error,
    );
    t.match(message, /increment 2 of VM 7, which this one builds on, is gone.*onevm backup --reset/);
    await refused(t, engine.flatten(imageOf(chain), 1), 'notFound', 'a flatten to it');
    t.strictSame(bed.stored(), [older], 'and nothing was changed');

    let reset = await extend(bed, engine, NONE, story.foreign);
    await samePoint(t, bed, reset, story.foreign, story);
    await engine.remove(imageOf(chain));
    t.strictSame(
      bed.stored(),
      reset.chain.map(({ source }) => source),
      'rm removes the rest of the image',
    );

    const ours = `${DATASET}@one-backup-${reset.chain[0]?.source}`;
    await machine.sh(`zfs clone ${ours} tank/clone`);
    await refused(t, engine.remove(imageOf(reset)), 'failed', 'rm of what somebody has cloned');
    reset = kept([story.foreign], [reset.chain[0]?.source ?? '']);
    await samePoint(t, bed, reset, story.foreign, story);
    await machine.sh('zfs destroy tank/clone');
    const before = await machine.sh(THEIRS);
    await engine.remove(imageOf(reset));
    t.strictSame(bed.stored(), []);
    t.equal(await machine.sh(THEIRS), before, 'the dataset stays for the snapshots of others');
  });

  await t.test('two hundred backups of a VM', async (t) => {
    const engine = bed.open();
    let many = await extend(bed, engine, { ...NONE, vmId: PATIENT }, story.neighbour[0]);
    // As the driver makes them, by one login.
    const dataset = `tank/blank/100/${PATIENT}`;
    const made = Array.from({ length: 198 }, (_, n) => ({
      id: (n + 1) as never,
      source: (n + 1).toString(16).padStart(12, '0'),
    }));
    await machine.sh(`for n in $(seq 198); do
        s=$(printf %012x $n); zfs snapshot -o one-backup:vm=${PATIENT} -o one-backup:increment=$n -o one-backup:chain=x ${dataset}@one-backup-$s || exit 1
      done; zfs hold one-backup ${made.map(({ source }) => `${dataset}@one-backup-${source}`).join(' ')}`);
    many = { ...many, chain: [...many.chain, ...made] };
    const last = { ...story.neighbour[1], incrementId: 199 };
    many = await extend(bed, engine, many, last);
    t.equal((await engine.inventory?.().points(PATIENT))?.length, 200);
    const { freeBytes } = await engine.space();
    t.ok(freeBytes > 0);
    const looks: string[] = [];
    const onStep = (what: string): unknown => /look at the dataset \S+\/8$/.test(what) && looks.push(what);
    const answer = await bed.open({ onStep }).flatten(imageOf(many), 2);
    t.equal(looks.length, 1, 'it is looked at once');
    t.strictSame(answer?.chain, many.chain.slice(-2));
    t.strictSame(
      bed.stored(),
      many.chain
        .slice(-2)
        .map(({ source }) => source)
        .sort(),
      'two are left',
    );
    await samePoint(t, bed, many, last, story);
    await engine.remove(imageOf({ ...many, chain: many.chain.slice(-2) }));
    t.equal(
      await machine.sh('zfs list -Ho name -r tank/blank/100 | grep -c "/8$" || true'),
      '0',
      'the last takes the dataset along',
    );
  });

  await t.test('an increment of a disk that is smaller than it was, and one of a larger one', async (t) => {
    const engine = bed.open();
    let kept: Kept = { ...NONE, vmId: RESIZED };
    const [full, next] = story.neighbour;
    const sizes: readonly PlainDisk[] = [
      [1, 2, 3, 4, 5, 6, 7, 8],
      [1, 9, 3],
      [1, 9, 3, 0, 0, 6],
    ];
    for (const [incrementId, disk] of sizes.entries()) {
      const stage = { ...(incrementId === 0 ? full : next), incrementId };
      const source = await lay(bed, kept, stage);
      const old = sizes[incrementId - 1];
      rmSync(join(source.folder, incrementId === 0 ? 'disk.0.0' : 'disk.0.1'));
      const file = join(source.folder, `disk.0.${incrementId}`);
      if (old === undefined) layWhole(file, disk, 'qcow2');
      else layIncrement(file, disk, old, []);
      kept = joined(kept, stage, await engine.backup(source));
      const raw = join(story.folder, 'resized');
      writeFileSync(raw, bytesOf(disk));
      const [url] = [...(await engine.files(lastPoint(kept))).disks.values()];
      t.equal(difference(await fetch(bed, engine, url?.url ?? '', story), raw), undefined, `increment ${incrementId}`);
    }
    await engine.remove(imageOf(kept));
  });

  await t.test('a full backup of what is there already costs next to nothing', async (t) => {
    const engine = bed.open();
    const none = { ...NONE, vmId: LARGE };
    const written = async (): Promise<number> =>
      Number(await machine.sh(`zfs list -Hpo written -t snapshot -s createtxg tank/blank/100/${LARGE} | tail -n 1`));
    const { source, disk } = await layLarge(bed, none, story, 16);
    const same = readFileSync(disk);
    const first = await engine.backup(source);
    t.ok((await written()) > 16 * 2 ** 20);
    const again = await lay(bed, none, story.foreign);
    writeFileSync(disk, same);
    const second = await engine.backup(again);
    t.ok((await written()) < 2 ** 20);
    const chain = [first, second].map((one, id) => ({ id: id as never, source: one.source }));
    await engine.remove(imageOf({ ...none, chain, stages: [story.foreign, story.foreign] }));
  });

  await t.test('rm of the newest backup gives its space back', async (t) => {
    const engine = bed.open();
    const none = { ...NONE, vmId: LARGE };
    const small = await extend(bed, engine, none, story.neighbour[0]);
    const { source } = await layLarge(bed, none, story, 16);
    const large = await engine.backup(source);
    const used = async (): Promise<number> =>
      Number(
        await machine.sh(`zpool sync tank; zpool wait -t free tank; zfs get -Hpo value used tank/blank/100/${LARGE}`),
      );
    t.ok((await used()) > 16 * 2 ** 20);
    const image = imageOf({ ...none, chain: [{ id: 0 as never, source: large.source }], stages: [story.foreign] });
    await engine.remove(image);
    t.ok((await used()) < 8 * 2 ** 20, 'also that of the state of the dataset');
    await samePoint(t, bed, small, story.neighbour[0], story);
    await engine.remove(imageOf(small));
  });
}
