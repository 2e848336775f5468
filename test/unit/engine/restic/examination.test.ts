import t from 'tap';
import { resticExamination } from '../../../../lib/engine/restic/examination';
import { DriverError } from '../../../../lib/errors';
import type { Host } from '../../../../lib/host/host';
import type { AbsolutePath } from '../../../../lib/opennebula/ids';

const LOCK = '1'.repeat(64);
const entry = (name: string, type: string) => ({ name, type, sizeBytes: 0, modifiedAt: 0 });

/** What doctor says of the locks of a repository with one lock that cannot be read; `left`: it lies there afterwards, too. */
async function locks(left: boolean): Promise<unknown> {
  let looks = 0;
  const repository = {
    ...{ path: '/backups/7', access: { repository: '/backups/7', throttle: [] } },
    lockFiles: async () => (looks++ === 0 || left ? [LOCK] : []),
    run: () => Promise.reject(new DriverError('failed', 'file does not exist')),
  };
  const files = { list: async () => [entry('7', 'folder'), entry('config', 'file')] };
  const server = { name: 'server', files } as unknown as Host;
  const examination = resticExamination({
    config: { server: 'server', user: 'oneadmin', throttle: {}, lockWaitSeconds: 1 },
    context: { datastore: { basePath: '/backups' as AbsolutePath }, hosts: { at: async () => server } },
    repositories: { local: () => repository, server: async () => server },
  } as never);
  const link = examination.links('server', server).find(({ what }) => what === 'locks');
  return (await link?.examine())?.[0];
}

t.test(
  'a lock that is released while doctor reads it is none; one that stays and cannot be read is told',
  async (t) => {
    t.match(await locks(false), { state: 'ok', says: 'none that exclude others' });
    t.match(await locks(true), { state: 'failure', says: /file does not exist/ });
  },
);
