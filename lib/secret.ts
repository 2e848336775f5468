import { inspect } from 'node:util';

/**
 * A value that must not be seen: it prints as `***` wherever it is printed by accident.
 * Only what hands it to a program (by stdin or environment, never argv) calls `reveal`.
 */
export class Secret {
  readonly #value: string;

  constructor(value: string) {
    this.#value = value;
  }

  /** Returns the value itself. */
  reveal(): string {
    return this.#value;
  }

  toString(): string {
    return '***';
  }

  toJSON(): string {
    return '***';
  }

  [inspect.custom](): string {
    return '***';
  }
}
