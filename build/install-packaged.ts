/** The script `install` of the packages: the drivers lie beside it, built. */
import { join } from 'node:path';
import { DRIVER_VERSION } from '../lib/version';
import { runInstaller } from './install-command';

runInstaller(process.argv.slice(2), {
  command: 'install',
  version: DRIVER_VERSION,
  built: async () => join(__dirname, 'datastore'),
});
