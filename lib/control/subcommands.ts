import { completion } from './completion';
import { lint } from './lint';
import { list } from './list';
import { prune } from './prune';
import { register } from './register';
import { restore } from './restore';
import { runAction } from './run-action';
import { show } from './show';
import type { Subcommand } from './subcommand';
import { sweep } from './sweep';
import { verify } from './verify';

/** The subcommands, in the order of the help. */
export const subcommands: readonly Subcommand[] = [
  lint,
  list,
  show,
  restore,
  verify,
  sweep,
  prune,
  register([]),
  runAction,
  completion(() => subcommands),
];
