import { spawn } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { MARK } from '../helpers/sshd-process';
import { comesWhile } from '../helpers/waits';
import { type FaultWorld, RESTIC } from './fault-world';
import { send } from './processes-of';

/** A restic that holds an exclusive lock and does nothing. */
export interface LockHolder {
  readonly pid: number;
  /** Lets it remove its lock and end. */
  release(): Promise<void>;
  /** Kills it, so that its lock stays. */
  die(): Promise<void>;
}

/** Stops a prune as soon as it has its lock. `prefix` runs it elsewhere: `unshare`, with its arguments. */
export async function holdLock(
  { world }: { readonly world: Pick<FaultWorld['world'], 'env' | 'password'> },
  repository: string,
  prefix: readonly string[] = [],
): Promise<LockHolder> {
  const locks = (): string[] => (existsSync(join(repository, 'locks')) ? readdirSync(join(repository, 'locks')) : []);
  const before = new Set(locks());
  // So slow that it cannot be through before it is stopped.
  const argv = [...prefix, RESTIC, '-r', repository, '--no-cache', '--limit-download=1', 'prune'];
  const { [MARK]: _none, ...inherited } = world.env; // it is no part of an action
  const env = { ...inherited, RESTIC_PASSWORD: world.password };
  const child = spawn(argv[0] as string, argv.slice(1), { env, stdio: ['ignore', 'pipe', 'ignore'] });
  let said = '';
  child.stdout.on('data', (chunk) => {
    said += chunk;
  });
  const ended = new Promise<void>((resolve) => child.on('close', () => resolve()));
  const pid = child.pid ?? 0;
  const mine = (): string[] => locks().filter((name) => /^[0-9a-f]{64}$/.test(name) && !before.has(name));
  // It waits a little to see whether another one locks, too, and says this once the lock is its own.
  await comesWhile(child, 'prune has its lock', () => said.includes('loading indexes'), 5);
  send('SIGSTOP', pid);
  if (mine().length === 0) throw new Error('prune took no lock, or was through with it');
  return {
    pid,
    release: async () => {
      send('SIGCONT', pid);
      send('SIGINT', pid);
      await ended;
    },
    die: async () => {
      send('SIGKILL', pid);
      await ended;
    },
  };
}
