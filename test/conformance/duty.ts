import type { Test } from 'tap';
import type { Scene } from './scene';

/** One thing that every engine must do; it gets its beds from the scene and leaves nothing behind. */
export interface Duty {
  readonly name: string;
  readonly run: (t: Test, scene: Scene) => Promise<void>;
}
