import t from 'tap';
import { type InventoryMeans, listRepositories } from '../../../../lib/engine/restic/listing';
import { DriverError, type ErrorKind } from '../../../../lib/errors';
import type { FileEntry } from '../../../../lib/host/host';

t.test('a folder that cannot be listed may be a repository: whoever opens it tells why it cannot', async (t) => {
  const entry = (name: string, type: FileEntry['type']): FileEntry => ({ name, type, sizeBytes: 0, modifiedAt: 0 });
  const fails = (kind: ErrorKind): Promise<never> => Promise.reject(new DriverError(kind, 'no'));
  const folders: Record<string, () => Promise<FileEntry[]>> = {
    '/ds': async () => ['1', '2', '3', '4', 'other'].map((name) => entry(name, 'folder')),
    '/ds/1': async () => [entry('config', 'file')],
    '/ds/2': async () => [],
    '/ds/3': () => fails('failed'),
    '/ds/4': () => fails('notFound'), // it was removed meanwhile
  };
  const server = { files: { list: (path: string) => (folders[path] ?? (() => fails('internal')))() } };
  const means = { repositories: { server: async () => server }, context: { datastore: { basePath: '/ds' } } };
  const found = await listRepositories(means as unknown as InventoryMeans);
  t.same(
    found.map(({ vmId }) => vmId),
    [1, 3],
  );
});
