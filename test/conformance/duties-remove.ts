import type { Duty } from './duty';
import { extend, imageOf, joined, lastPoint, refused, samePoint } from './scene';

/** Duties of remove(). */
export const REMOVING: readonly Duty[] = [
  {
    name: "remove takes the image's own backups only",
    async run(t, { story, kept, foreign, neighbour, filled }) {
      const bed = await filled();
      const engine = bed.open();
      await engine.remove(imageOf(kept));
      const sources = [...foreign.chain, ...neighbour.chain].map(({ source }) => source);
      t.equal(bed.stored().length, sources.length);
      for (const source of sources)
        t.ok(
          bed.stored().some((name) => name.startsWith(source)),
          'the others are there',
        );
      await refused(t, engine.files(lastPoint(kept)), 'notFound', 'what was removed');
      await bed.open().remove(imageOf(kept));
      t.equal(bed.stored().length, sources.length, 'twice is fine');
      await samePoint(t, bed, foreign, story.foreign, story);
      const more = await extend(bed, bed.open(), neighbour, story.neighbour[1]);
      await samePoint(t, bed, more, story.neighbour[1], story);
      t.strictSame(bed.leftovers(), []);
      await bed.close();
    },
  },
  {
    name: 'remove goes on where it was broken off',
    async run(t, { story, kept, foreign, neighbour, filled }) {
      const bed = await filled();
      const [first, second] = kept.chain;
      await bed.open().discard(kept.vmId, kept.jobId, first?.source ?? '');
      await bed
        .open()
        .remove(imageOf(joined({ ...kept, chain: second ? [second] : [] }, story.chain[4], { source: 'ab' })));
      const before = kept.chain.length + foreign.chain.length + neighbour.chain.length;
      t.equal(bed.stored().length, before - 2, 'a source that is no name of a backup takes none');
      await bed.open().remove(imageOf(kept));
      t.equal(bed.stored().length, 2);
      await bed.open().remove(imageOf(foreign));
      await bed.open().remove(imageOf(neighbour));
      t.strictSame(bed.stored(), [], 'the last one goes as well');
      await bed.close();
    },
  },
];
