import { setTimeout as sleep } from 'node:timers/promises';
import type { Test } from 'tap';
import type { StoredBackup } from '../../lib/engine/engine';
import { DriverError } from '../../lib/errors';
import type { Bed, Opening } from './bed';
import type { Duty } from './duty';
import { extend, imageOf, joined, type Kept, lay, refused, type Scene, samePoint } from './scene';

/** How far apart the steps are at which the same action is cancelled, try after try. */
const STRIDE = 5;
/** No flatten of these backups has so many. */
const MOST_STEPS = 1_000;
/** Moments after the last step of a backup, while its program is at work. */
const MOMENTS_MS = [0, 600, 900];

/** An opening whose signal fires at the step with that number, from 1, or some time after it. */
function cancelledAt(step: number, afterMs: number): Opening {
  const abort = new AbortController();
  let count = 0;
  const cancel = (): void => abort.abort(new DriverError('cancelled', 'cancelled by the test'));
  const onStep = (): void => {
    count++;
    if (count !== step) return;
    if (afterMs === 0) cancel();
    else setTimeout(cancel, afterMs).unref();
  };
  return { signal: abort.signal, onStep };
}

/** What a cancelled action still removes, beside its own end: a program on some host does it. */
async function nothingLeft(t: Test, bed: Bed): Promise<void> {
  for (let tries = 0; tries < 600 && bed.leftovers().length > 0; tries++) await sleep(100);
  t.strictSame(bed.leftovers(), [], 'nothing is left');
}

/** Duties of an action whose signal is aborted. */
export const CANCELLING: readonly Duty[] = [
  {
    name: 'a cancelled backup stores nothing',
    async run(t, { story, kept, filled }) {
      const bed = await filled();
      const before = bed.stored();
      let cancelled = 0;
      for (const moment of MOMENTS_MS) {
        const opening = cancelledAt(1, moment);
        const source = await lay(bed, kept, story.chain[4]);
        const ended = await bed
          .open(opening)
          .backup(source)
          .then(
            async (stored) => bed.open().discard(kept.vmId, kept.jobId, stored.source), // it was faster
            (error: unknown) => {
              t.match(error, { name: 'DriverError', kind: 'cancelled' });
              cancelled++;
            },
          );
        t.equal(ended, undefined);
        t.strictSame(bed.stored(), before, 'nothing was stored');
      }
      t.ok(cancelled > 0, 'the first one at least was cancelled');
      const more = await extend(bed, bed.open(), kept, story.chain[4]);
      await nothingLeft(t, bed);
      await samePoint(t, bed, more, story.chain[4], story);
      await bed.close();
    },
  },
  {
    name: 'a cancelled first backup leaves no half-made datastore',
    async run(t, { story, foreign, empty }) {
      const bed = await empty();
      const nothing: Kept = { ...foreign, chain: [], stages: [] };
      let stored: StoredBackup | undefined;
      let step = 0;
      while (stored === undefined && step < 20) {
        const engine = bed.open(cancelledAt(++step, 0));
        stored = await engine.backup(await lay(bed, nothing, story.foreign)).catch((error: unknown) => {
          t.match(error, { name: 'DriverError', kind: 'cancelled' }, `cancelled at step ${step}`);
          return undefined;
        });
        if (stored === undefined) t.strictSame(bed.stored(), [], 'nothing was stored');
      }
      t.ok(step > 2, `it was cancelled at ${step - 1} steps`);
      await samePoint(t, bed, joined(nothing, story.foreign, stored ?? { source: '' }), story.foreign, story);
      await nothingLeft(t, bed);
      await bed.close();
    },
  },
  { name: 'a cancelled flatten loses nothing', run: cancelFlatten },
  {
    name: 'nothing begins once the signal was aborted',
    async run(t, { story, kept, filled }) {
      const bed = await filled();
      const before = bed.stored();
      const engine = bed.open({ signal: AbortSignal.abort(new DriverError('cancelled', 'cancelled by the test')) });
      const source = await lay(bed, kept, story.chain[4]);
      await refused(t, engine.backup(source), 'cancelled', 'a backup');
      await refused(t, engine.flatten(imageOf(kept), 2), 'cancelled', 'a flatten');
      await refused(t, engine.remove(imageOf(kept)), 'cancelled', 'a removal');
      t.strictSame(bed.stored(), before);
      await nothingLeft(t, bed);
      await bed.close();
    },
  },
];

async function cancelFlatten(t: Test, { story, kept, filled }: Scene): Promise<void> {
  const bed = await filled();
  const [, , middle, last] = story.chain;
  let cancelled = 0;
  for (let step = 2; ; step += STRIDE) {
    if (step > MOST_STEPS) throw new Error(`a flatten never came to its end, in ${MOST_STEPS} steps`);
    const engine = bed.open(cancelledAt(step, 0));
    const answer = await engine.flatten(imageOf(kept), 2).catch((error: unknown) => {
      t.match(error, { name: 'DriverError', kind: 'cancelled' }, `cancelled at step ${step}`);
      return undefined;
    });
    if (answer !== undefined) break;
    cancelled++;
    await samePoint(t, bed, kept, last, story);
  }
  t.ok(cancelled >= 2, `it was cancelled ${cancelled} times on its way`);
  const answer = await bed.open().flatten(imageOf(kept), 2);
  const two: Kept = { ...kept, chain: answer?.chain ?? [], stages: [middle, last] };
  await samePoint(t, bed, two, middle, story);
  await samePoint(t, bed, kept, last, story);
  t.equal(bed.stored().length, 4, 'nothing that was merged is left');
  await nothingLeft(t, bed);
  await bed.close();
}
