/**
 * Builds the drivers and puts them into the front-end of this machine, or takes them out again.
 *   tsx build/install.ts [--var DIR] [--conf FILE] [--dry-run] [--uninstall]
 */
import { join } from 'node:path';
import { bundle, VERSION } from './bundle';
import { runInstaller } from './install-command';

const ROOT = join(__dirname, '..');

runInstaller(process.argv.slice(2), {
  command: 'install-drivers',
  version: VERSION,
  built: async () => {
    await bundle();
    return join(ROOT, 'remotes', 'datastore');
  },
});
