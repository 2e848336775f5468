import type { Command } from '../command/command';
import type { Host, RunOptions } from './host';

/** A program that keeps something for the action until it is told to end, or the action ends, dies or is cut off. */
export interface Keeper {
  /** The first line that it said; undefined in a dry run. */
  readonly said: string | undefined;
  /** Ends it and waits for its end. Throws what it failed with. */
  end(): Promise<void>;
}

/** Starts such a program and waits for its first line. Throws what the host throws when it ends without one. */
export async function startKeeper(host: Host, command: Command<undefined>, options?: RunOptions): Promise<Keeper> {
  const stop = new AbortController();
  let running: Promise<undefined> | undefined;
  const said = await new Promise<string | undefined>((resolve, reject) => {
    running = host.run(command, { ...options, until: stop.signal, onLine: resolve });
    running.then(() => resolve(undefined), reject);
  });
  return {
    said,
    end: async () => {
      stop.abort();
      await running;
    },
  };
}
