import { DriverError } from '../errors';
import { inventoryOf } from './stored-backups';
import type { Subcommand } from './subcommand';

/** prune: gives back the room of what no backup needs. */
export const prune: Subcommand = {
  name: 'prune',
  summary: 'Shows how much no backup needs any more, and gives it back with --yes.',
  details: 'For drivers that keep data apart from backups. Backups wait while it runs.',
  positionals: [{ name: 'FILE|ID', describe: 'the template of a datastore, or its id', completes: 'file' }],
  options: [{ name: 'yes', describe: 'Prune' }],
  opensDatastore: true,
  examples: [{ line: 'prune 100 --yes', meaning: 'within the limits that the datastore sets' }],
  async run(context) {
    const { line, screen } = context;
    const opened = await context.open(line.word('FILE|ID'));
    const inventory = inventoryOf(opened);
    if (inventory.prune === undefined) {
      throw new DriverError('unsupported', `the driver ${opened.driver.name} has nothing to prune`, {
        hint: 'Removing a backup gives its room back at once',
      });
    }
    const failures: DriverError[] = [];
    const told = await inventory.prune(!line.flag('yes'), (failure) => failures.push(failure));
    for (const text of told) screen.print(text);
    for (const { message } of failures) screen.warn(message);
    if (!line.flag('yes')) screen.note('nothing was removed: that takes --yes');
    return failures[0]?.exitCode ?? 0;
  },
};
