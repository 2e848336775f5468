import { setTimeout as sleep } from 'node:timers/promises';
import { holdLock } from '../../command/lock';
import * as zfs from '../../command/zfs';
import { asDriverError, DriverError } from '../../errors';
import type { RunOptions } from '../../host/host';
import { startKeeper } from '../../host/keeper';
import { type AbsolutePath, joinPath } from '../../opennebula/ids';
import type { EngineContext } from '../engine';
import { INCOMING } from './backup';
import { giveBack } from './give-back';
import { forget, placeOf } from './notes';
import type { State, VmDataset } from './vm-dataset';

/** How often a busy dataset is tried again, and the pause before, in milliseconds: somebody may just be reading it. */
const BUSY_TRIES = 10;
const BUSY_PAUSE_MS = 1_000;
/** How long holding again what is not destroyed may take once the action was aborted, in milliseconds. */
const HOLD_AGAIN_LIMIT_MS = 4_000;

/** What destroying backups leaves. */
interface Destroyed {
  /** The dataset itself still holds what only the newest backup had. */
  readonly isNewestGone: boolean;
  /** Where the datastore's dataset is mounted. */
  readonly place: AbsolutePath | undefined;
}

/**
 * Destroys backups, all in one step unless they are very many; those that are gone are fine. Looks at the dataset unless
 * it was looked at. Throws `locked` when somebody goes on using one.
 */
export async function destroyBackups(
  dataset: VmDataset,
  sources: readonly string[],
  signal: AbortSignal,
  seen?: State,
  options?: RunOptions,
): Promise<Destroyed> {
  const { server, access, name } = dataset;
  const state = seen ?? (await dataset.lookInPool(sources, options));
  const place = await placeOf(server, dataset.parent, options);
  const doomed = (state?.backups ?? []).filter(({ source }) => sources.includes(source));
  const newest = state?.backups.at(-1)?.source;
  const isGone = state !== undefined && (newest === undefined || sources.includes(newest));
  const held = doomed.filter(({ holds }) => holds > 0).map(({ source }) => source);
  const released = new Set<string>();
  try {
    for (const some of zfs.portionsOf(held)) {
      await server.run(zfs.release(access, name, some), options);
      for (const source of some) released.add(source);
    }
    for (const some of zfs.portionsOf(doomed.map(({ source }) => source))) {
      await whileBusy(() => server.run(zfs.destroySnapshots(access, name, some), options), signal);
      for (const source of some) released.delete(source);
    }
  } catch (error) {
    // What cannot be released or destroyed keeps all of its portion, and they are backups as before.
    for (const some of access.hold ? zfs.portionsOf([...released]) : [])
      await server.run(zfs.hold(access, name, some), { evenAbortedMs: HOLD_AGAIN_LIMIT_MS }).catch(() => {});
    throw error;
  }
  // After them: where no space is left, not even a file could be removed before.
  if (place !== undefined) await forget(dataset, place, sources, options);
  return { isNewestGone: isGone, place };
}

/** Gives back the space that a VM's dataset itself needs, unless somebody is about to fill it. */
export async function shrink(
  dataset: VmDataset,
  place: AbsolutePath,
  { log }: Pick<EngineContext, 'log'>,
  options?: RunOptions,
): Promise<void> {
  const { server, name } = dataset;
  try {
    const keeper = await startKeeper(server, holdLock(joinPath(place, INCOMING, dataset.vmId, '.lock'), 0), options);
    try {
      const state = await dataset.look([], options);
      if (state !== undefined) await giveBack(dataset, state, options);
    } finally {
      await keeper.end();
    }
  } catch (error) {
    log(`what was removed last still takes space in ${name}: ${asDriverError(error).message}`);
  }
}

/** Tries again while zfs says that somebody uses it: whoever reads a snapshot has it mounted for a moment. */
async function whileBusy(act: () => Promise<unknown>, signal: AbortSignal): Promise<void> {
  for (let left = BUSY_TRIES; ; left--) {
    try {
      await act();
      return;
    } catch (error) {
      const isBusy = error instanceof DriverError && error.kind === 'locked';
      if (!isBusy || left === 0 || signal.aborted) throw error;
      await sleep(BUSY_PAUSE_MS, undefined, { signal }).catch(() => {});
    }
  }
}
