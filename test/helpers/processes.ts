import { readdirSync, readFileSync } from 'node:fs';

/** Kills a process and its descendants, the parents first so that they start no more. */
export function killTree(pid: number | undefined): void {
  if (pid === undefined) return;
  const parents = new Map<number, number>();
  for (const child of allProcesses()) {
    const stat = /\) \S (\d+) /.exec(readProc(child, 'stat'));
    if (stat !== null) parents.set(child, Number(stat[1]));
  }
  const doomed = [pid];
  for (let next = 0; next < doomed.length; next++) {
    for (const [child, parent] of parents) if (parent === doomed[next]) doomed.push(child);
  }
  for (const one of doomed) kill(one);
}

/** Kills the process group that a process leads; one that is gone is fine. */
export function killGroup(pid: number | undefined): void {
  if (pid !== undefined) kill(-pid);
}

/** Kills the processes that have the variable with this value in their environment, wherever they are now. */
export function killMarked(name: string, value: string): void {
  for (const pid of allProcesses()) {
    if (pid !== process.pid && readProc(pid, 'environ').split('\0').includes(`${name}=${value}`)) kill(pid);
  }
}

function allProcesses(): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number);
}

function readProc(pid: number, file: 'stat' | 'environ'): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'latin1');
  } catch {
    return '';
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // it has ended by itself
  }
}
