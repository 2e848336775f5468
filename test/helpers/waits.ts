import type { ChildProcess } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';

/** Waits until something holds, at most so many seconds; returns whether it came to hold. */
export async function until(holds: () => boolean, seconds = 120, everyMs = 50): Promise<boolean> {
  // Looks are counted and no clock is asked: on a busy machine, where each one comes late, there is more time.
  for (let left = Math.ceil((seconds * 1000) / everyMs); left > 0; left--) {
    if (holds()) return true;
    await sleep(everyMs);
  }
  return holds();
}

/** Waits until something holds; throws what was waited for when that never comes. */
export async function waitFor(what: string, holds: () => boolean, everyMs = 20): Promise<void> {
  if (!(await until(holds, 300, everyMs))) throw new Error(`waited in vain: ${what}`);
}

/** Waits until something holds, or a process has ended; returns whether it holds. Throws when neither ever comes. */
export async function comesWhile(
  child: ChildProcess,
  what: string,
  holds: () => boolean,
  everyMs = 20,
): Promise<boolean> {
  await waitFor(what, () => holds() || hasEnded(child), everyMs);
  return holds();
}

/** Whether a process has ended, by itself or by a signal: then it has no exit code. */
export function hasEnded({ exitCode, signalCode }: ChildProcess): boolean {
  return exitCode !== null || signalCode !== null;
}
