import type { Ended, Running } from '../helpers/front-end';
import { comesWhile, hasEnded } from '../helpers/waits';

/** How often a program may be faster than who is to strike it. */
const MOST_TRIES = 10;

/**
 * Starts a program and sends it a signal at a moment. It is halted first, and struck only while the moment is still there:
 * on a busy machine the signal may come late. What was faster is started again, a few times.
 */
export async function struckAt(
  moment: string,
  start: () => Running,
  isNow: () => boolean,
  signal: 'SIGKILL' | 'SIGINT',
): Promise<Ended> {
  for (let tries = 0; tries < MOST_TRIES; tries++) {
    const { child, ended } = start();
    await comesWhile(child, moment, isNow, 2);
    child.kill('SIGSTOP');
    const isStruck = isNow() && !hasEnded(child);
    child.kill(isStruck ? signal : 'SIGKILL');
    child.kill('SIGCONT');
    const how = await ended;
    if (isStruck && how.code !== 0) return how;
    if (how.code !== 0 && how.code !== null) throw new Error(`it failed before it could be struck: ${how.stderr}`);
  }
  throw new Error(`${MOST_TRIES} times it was faster: ${moment}`);
}
