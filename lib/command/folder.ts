import type { AbsolutePath } from '../opennebula/ids';
import type { Command } from './command';

/** Finds a file in a folder or below it, in the same filesystem; undefined when there are at most folders. */
export function anyFile(folder: AbsolutePath): Command<string | undefined> {
  return {
    argv: ['find', folder, '-xdev', '-mindepth', '1', '!', '-type', 'd', '-print', '-quit'],
    purpose: `see whether ${folder} is empty`,
    parse: ({ stdout }) => (stdout === '' ? undefined : stdout.trim()),
    dryRun: undefined,
  };
}
