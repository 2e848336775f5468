import { readdir, readFile } from 'node:fs/promises';
import { basename } from 'node:path';

/** A process of this machine. */
export interface LocalProcess {
  readonly pid: number;
  readonly argv: readonly string[];
}

/** All processes of this machine whose arguments can be read (proc(5), cmdline), but for this one. */
export async function listProcesses(): Promise<LocalProcess[]> {
  const pids = (await readdir('/proc')).filter((name) => /^[0-9]+$/.test(name)).map(Number);
  const found = await Promise.all(pids.filter((pid) => pid !== process.pid).map(read));
  return found.filter((one) => one !== undefined);
}

/** Whether a process runs a script of that name: an interpreter with the script as its argument, or the script itself. */
export function runsScript({ argv }: LocalProcess, names: readonly string[]): boolean {
  return argv.slice(0, 2).some((word) => names.includes(basename(word)));
}

/** Sends a signal. A process that has ended meanwhile, or belongs to somebody else, is left. */
export function terminate({ pid }: LocalProcess, signal: 'SIGTERM' | 'SIGKILL' = 'SIGTERM'): void {
  try {
    process.kill(pid, signal);
  } catch {}
}

async function read(pid: number): Promise<LocalProcess | undefined> {
  const text = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
  if (text === '') return undefined;
  const argv = text.replace(/\0$/, '').split('\0');
  // A script begins as `/usr/bin/env node SCRIPT`, and in that moment, too, it is one.
  return { pid, argv: basename(argv[0] ?? '') === 'env' ? argv.slice(1) : argv };
}
