import t, { type Test } from 'tap';
import type { MakeBed } from './bed';
import { CANCELLING } from './duties-cancel';
import { FLATTENING } from './duties-flatten';
import { READING } from './duties-read';
import { REMOVING } from './duties-remove';
import { STORING } from './duties-store';
import type { Duty } from './duty';
import { openScene } from './scene';

/** What `Engine` in lib/engine/engine.ts asks of an engine, duty by duty. */
const DUTIES: readonly Duty[] = [...STORING, ...READING, ...REMOVING, ...FLATTENING, ...CANCELLING];

/** Holds an engine to the duties: all, or those that are named. Each starts from a copy of the same datastore. */
export function conformance(name: string, makeBed: MakeBed, names: readonly string[] = []): void {
  t.test(name, (t) => holdTo(t, makeBed, names));
}

/** The same, inside any test: also one whose failure is what is expected. */
export async function holdTo(t: Test, makeBed: MakeBed, names: readonly string[]): Promise<void> {
  const chosen = DUTIES.filter((duty) => names.length === 0 || names.includes(duty.name));
  for (const wanted of names) if (!chosen.some((duty) => duty.name === wanted)) t.fail(`there is no duty "${wanted}"`);
  const scene = await openScene(makeBed);
  try {
    for (const duty of chosen) await t.test(duty.name, (t) => duty.run(t, scene));
  } finally {
    await scene.close();
  }
}
