import type { Test } from 'tap';
import type { Bed } from './bed';
import type { Duty } from './duty';
import { extend, imageOf, type Kept, lastPoint, pointAt, type Scene, sameDisks, samePoint, sameTpm } from './scene';

/** Flattens and returns what oned knows afterwards. */
async function flattened(t: Test, bed: Bed, kept: Kept, keepLast: number): Promise<Kept> {
  const answer = await bed.open().flatten(imageOf(kept), keepLast);
  if (answer === undefined) throw new Error('there was something to flatten');
  t.equal(answer.chain.length, keepLast, `${keepLast} remain`);
  const ids = kept.chain.slice(-keepLast).map(({ id }) => id);
  t.strictSame(
    answer.chain.map(({ id }) => id),
    ids,
    'those kept have their ids',
  );
  t.strictSame(answer.chain.slice(1), kept.chain.slice(kept.chain.length - keepLast + 1), 'later ones are untouched');
  const known = kept.chain.some(({ source }) => source === answer.chain[0].source);
  t.equal(known, bed.pointsStandAlone, 'the full one is new, unless it was one already');
  t.ok(answer.sizeMb > 0);
  return { ...kept, chain: answer.chain, stages: kept.stages.slice(-keepLast) };
}

/** Duties of flatten(). */
export const FLATTENING: readonly Duty[] = [
  {
    name: 'flatten with nothing to do',
    async run(t, { kept, foreign, filled }) {
      const bed = await filled();
      const before = bed.stored();
      const { length } = kept.chain;
      t.equal(await bed.open().flatten(imageOf(kept), length), undefined, 'as many as there are');
      t.equal(await bed.open().flatten(imageOf(kept), length + 1), undefined, 'more than there are');
      t.equal(await bed.open().flatten(imageOf(foreign), 1), undefined, 'one, and one is there');
      t.strictSame(bed.stored(), before);
      await bed.close();
    },
  },
  { name: 'flatten keeps every point that it is to keep', run: flattenAndGoOn },
  {
    name: 'flatten into one',
    async run(t, { story, kept, foreign, neighbour, filled }) {
      const bed = await filled();
      const one = await flattened(t, bed, kept, 1);
      t.equal(bed.stored().length, 3, 'nothing that was merged is left');
      await samePoint(t, bed, one, story.chain[3], story);
      await samePoint(t, bed, kept, story.chain[3], story);
      await samePoint(t, bed, foreign, story.foreign, story);
      await samePoint(t, bed, neighbour, story.neighbour[0], story);
      await bed.open().remove(imageOf(kept));
      t.equal(bed.stored().length, 2, 'removed by the chain of before, the merged one goes too');
      t.strictSame(bed.leftovers(), []);
      await bed.close();
    },
  },
];

async function urlsOf(bed: Bed, kept: Kept, incrementId: number): Promise<ReadonlyMap<number, string>> {
  const { disks } = await bed.open().files(pointAt(kept, incrementId));
  return new Map([...disks].map(([id, { url }]) => [id as number, url]));
}

async function flattenAndGoOn(t: Test, { story, kept, filled }: Scene): Promise<void> {
  const bed = await filled();
  const [, , middle, last, next] = story.chain;
  const oldUrls = await Promise.all([middle, last].map((stage) => urlsOf(bed, kept, stage.incrementId)));
  const two = await flattened(t, bed, kept, 2);
  const again = await bed.open().flatten(imageOf(kept), 2);
  t.strictSame(again?.chain, two.chain, 'asked again with the chain of before, it answers the same');
  t.equal(bed.stored().length, 4);

  for (const stage of [middle, last]) await samePoint(t, bed, two, stage, story);
  await sameTpm(t, bed, two, middle, story);
  for (const stage of [middle, last]) await samePoint(t, bed, kept, stage, story);
  await sameDisks(t, bed, oldUrls[0] ?? new Map(), middle, story);
  await sameDisks(t, bed, oldUrls[1] ?? new Map(), last, story);

  const more = await extend(bed, bed.open(), two, next);
  await samePoint(t, bed, more, next, story);
  const one = await flattened(t, bed, more, 1);
  await samePoint(t, bed, one, next, story);
  await sameTpm(t, bed, one, next, story);
  t.strictSame((await bed.open().files(lastPoint(one))).point, lastPoint(one));
  await bed.open().remove(imageOf(one));
  t.equal(bed.stored().length, 2, 'and what was flattened twice can be removed');
  t.strictSame(bed.leftovers(), []);
  await bed.close();
}
