import { spawn } from 'node:child_process';

/** A program to be timed. */
export interface Run {
  readonly program: string;
  readonly args: readonly string[];
  readonly env: NodeJS.ProcessEnv;
  readonly stdin?: string;
}

/** Two things that are compared; each returns how long it took, in ms. */
export interface Pair {
  readonly ours: () => Promise<number>;
  readonly bare: () => Promise<number>;
}

/** Runs a program to its end and returns how long it took, in ms. Throws when it fails: a failure is no measurement. */
export function timed({ program, args, env, stdin = '' }: Run): Promise<number> {
  return new Promise((resolve, reject) => {
    const started = process.hrtime.bigint();
    const child = spawn(program, args, { env, stdio: ['pipe', 'ignore', 'pipe'], detached: true });
    let said = '';
    child.stderr.on('data', (chunk: Buffer) => {
      said += chunk.toString('latin1');
    });
    child.stdin.on('error', () => {});
    child.stdin.end(stdin);
    child.once('error', reject);
    child.once('close', (code) => {
      const milliseconds = Number(process.hrtime.bigint() - started) / 1e6;
      if (code === 0) resolve(milliseconds);
      else reject(new Error(`${program} ended with ${code}: ${said.trim()}`));
    });
  });
}

/**
 * Medians of both, in ms. They take turns, and take turns at being first, so that what else the machine does meets both
 * alike; one round before counts for nothing.
 */
export async function compare({ ours, bare }: Pair, rounds: number): Promise<{ ours: number; bare: number }> {
  const times = { ours: [] as number[], bare: [] as number[] };
  for (let round = 0; round <= rounds; round++) {
    const order = round % 2 === 0 ? (['ours', 'bare'] as const) : (['bare', 'ours'] as const);
    for (const which of order) {
      const time = await (which === 'ours' ? ours() : bare());
      if (round > 0) times[which].push(time);
    }
  }
  return { ours: median(times.ours), bare: median(times.bare) };
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const upper = sorted[middle] ?? 0;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? 0) + upper) / 2;
}
