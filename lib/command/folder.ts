import type { AbsolutePath } from '../opennebula/ids';
import { type Command, nothing } from './command';

/** Finds a file in a folder or below it, in the same filesystem; undefined when there are at most folders. */
export function anyFile(folder: AbsolutePath): Command<string | undefined> {
  return {
    argv: ['find', folder, '-xdev', '-mindepth', '1', '!', '-type', 'd', '-print', '-quit'],
    purpose: `see whether ${folder} is empty`,
    parse: ({ stdout }) => (stdout === '' ? undefined : stdout.trim()),
    dryRun: undefined,
  };
}

/** Lets nobody but its owner (and root) into a folder. */
export function makePrivate(folder: AbsolutePath): Command<undefined> {
  return {
    argv: ['chmod', '700', '--', folder],
    purpose: `close ${folder} to others`,
    parse: nothing,
    dryRun: undefined,
  };
}

/** Whether every login of the machine gets into a folder. */
export function isOpenToAll(folder: AbsolutePath): Command<boolean> {
  return {
    argv: ['stat', '--format', '%a', '--', folder],
    purpose: `see who gets into ${folder}`,
    parse: ({ stdout }) => /[1357]$/.test(stdout.trim()),
    dryRun: false,
  };
}

/** Whether a folder is that of a filesystem of its own, and not just a folder of the one whose folder the other is. */
export function isApart(folder: AbsolutePath, other: AbsolutePath): Command<boolean> {
  return {
    argv: ['stat', '-c', '%d', '--', folder, other], // df(1) goes by the path of a mount, also where another one hides it
    purpose: `look at ${folder}`,
    parse: ({ stdout }) => {
      const [device, below] = stdout.trim().split('\n');
      return below !== undefined && device !== below;
    },
    dryRun: true,
    accept: [1],
  };
}
