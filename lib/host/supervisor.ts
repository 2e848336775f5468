import type { Readable } from 'node:stream';
import type { Command } from '../command/command';
import { type Binds, bindsAnswer, supervised } from '../command/supervise';
import type { HostSettings } from './local';

/** How commands are supervised on one host. What the first one finds out there, the others need not ask again. */
export class Supervisor {
  readonly #settings: HostSettings['supervision'];
  #binds: Binds = 'unknown';

  constructor(settings: HostSettings['supervision']) {
    this.#settings = settings;
  }

  /** The argv that runs the command under supervision. */
  argvOf(command: Command<unknown>): [string, ...string[]] {
    const { marker } = this.#settings;
    const stallSeconds = command.ignoreStalls ? 0 : this.#settings.stallSeconds;
    return supervised(command.argv, {
      ...{ stallSeconds, marker, binds: this.#binds },
      softSignal: command.softSignal ?? 'TERM',
    });
  }

  /** Listens to what it says on the stderr of a command that was just started: it speaks before the program does. */
  learnFrom(stderr: Readable): void {
    if (this.#binds !== 'unknown') return;
    stderr.once('data', (chunk: Buffer) => {
      const { binds } = bindsAnswer(chunk.toString('latin1'));
      if (binds !== 'unknown') this.#binds = binds;
    });
  }
}
