import type { Engine } from '../engine/engine';
import { DriverError } from '../errors';
import { type BackupUrl, siblingOf } from '../opennebula/backup-url';
import { parseJobId } from '../opennebula/ids';
import { parseStoredVm, virtualSizeMb } from '../opennebula/vm';
import type { Verb } from './verb';

/** stat: the virtual size of a backed-up disk. */
export const stat: Verb = {
  name: 'stat',
  summary: 'Tells the virtual size of the disk behind a backup URL, as it was when it was backed up.',
  positionals: [{ name: 'REQUEST_ID', describe: "oned's number of the request" }],
  input: 'DS_DRIVER_ACTION_DATA with DATASTORE and IMAGE/PATH, a backup URL; XML or base64',
  output: 'the size in MB',
  example: '0 --message stat.xml',
  async run({ message, datastore, engine, driver, dryRun }) {
    const store = engine();
    const url = driver.parseUrl(message.child('IMAGE').textOf('PATH'));
    if (url.datastoreId !== undefined && url.datastoreId !== datastore().id) {
      throw new DriverError('message', `the backup URL is of datastore ${url.datastoreId}, not of ${datastore().id}`);
    }
    if (url.disk === 'tpm') throw new DriverError('message', 'the state of a TPM is no disk and has no size');
    const stored = await readVmXml(store, url, message.child('IMAGE').optionalTextOf('BACKUP_JOB_ID'));
    return dryRun ? [] : [String(virtualSizeMb(parseStoredVm(stored), url.disk))];
  },
};

/** The URL names the job; should it not, and nothing be there, the message may (contract, "What the messages hold"). */
async function readVmXml(store: Engine, url: BackupUrl, jobInMessage: string | undefined): Promise<Buffer> {
  const point = store.pointOf(url);
  const path = siblingOf(url.path, 'vm.xml');
  try {
    return await store.read(point, path);
  } catch (error) {
    const jobId = parseJobId(jobInMessage ?? '', 'IMAGE/BACKUP_JOB_ID');
    const elsewhere =
      error instanceof DriverError && error.kind === 'notFound' && point.jobId === undefined && jobId !== undefined;
    if (!elsewhere) throw error;
    return store.read({ ...point, jobId }, path).catch((second: unknown) => {
      throw second instanceof DriverError && second.kind === 'notFound' ? error : second;
    });
  }
}
