import { completion } from './completion';
import { doctor, examined } from './doctor';
import { extract } from './extract';
import { files } from './files';
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
  doctor,
  list,
  show,
  restore,
  files,
  extract,
  verify,
  sweep,
  prune,
  register([examined]),
  runAction,
  completion(() => subcommands),
];
