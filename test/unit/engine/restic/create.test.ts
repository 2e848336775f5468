import t from 'tap';
import { createRepository } from '../../../../lib/engine/restic/create';
import { leftoversOf } from '../../../../lib/engine/restic/leftovers';
import type { InventoryMeans } from '../../../../lib/engine/restic/listing';
import type { Repository } from '../../../../lib/engine/restic/repository';
import { DriverError } from '../../../../lib/errors';
import type { FileEntry, Host } from '../../../../lib/host/host';

/** A server on which remains of a repository cannot be listed, as when its admin took the right away. */
function denying(path: string, entries: readonly Partial<FileEntry>[] = []) {
  const renamed: string[] = [];
  const files = {
    list: async (folder: string) => {
      if (folder.startsWith(path)) throw new DriverError('failed', `${folder} cannot be listed`);
      return folder === '/b' ? entries : [];
    },
    makeFolder: async () => {},
    remove: async () => {},
    rename: async (from: string) => void renamed.push(from),
  };
  return { renamed, server: { name: 'server', files } as unknown as Host };
}

t.test('remains that cannot be listed are not taken for empty, nor put aside', async (t) => {
  const { server, renamed } = denying('/b/1');
  const repository = { path: '/b/1', access: { throttle: [] }, run: async () => {}, exists: async () => false };
  const watch = { signal: new AbortController().signal, log: () => {} };
  await t.rejects(createRepository(repository as unknown as Repository, server, watch), {
    kind: 'failed',
    message: /cannot be listed/,
  });
  t.strictSame(renamed, []);
});

t.test('nor are they left over', async (t) => {
  const { server } = denying('/b/1.broken-a', [{ name: '1.broken-a', type: 'folder', modifiedAt: 1 }]);
  const means = {
    repositories: { server: async () => server },
    config: { temporaryFolder: '/t' },
    context: { datastore: { basePath: '/b' }, hosts: { local: server }, log: () => {} },
  };
  await t.rejects(leftoversOf(means as unknown as InventoryMeans), { kind: 'failed', message: /cannot be listed/ });
});

t.test('a repository that somebody else has just put there is not moved aside', async (t) => {
  const renamed: string[] = [];
  const entries: Readonly<Record<string, readonly Partial<FileEntry>[]>> = {
    '/b/1': [{ name: 'config' }, { name: 'keys' }, { name: 'snapshots' }],
  };
  const files = {
    list: async (folder: string) => entries[folder] ?? [],
    makeFolder: async () => {},
    remove: async () => {},
    rename: async (from: string, to: string) => {
      renamed.push(`${from} ${to}`);
      throw new DriverError('failed', 'the folder is not empty');
    },
  };
  // it comes between the look for it and the look at what is in its place
  let looks = 0;
  const repository = { path: '/b/1', access: { throttle: [] }, run: async () => {}, exists: async () => ++looks > 1 };
  const watch = { signal: new AbortController().signal, log: () => {} };
  const server = { name: 'server', files } as unknown as Host;
  await createRepository(repository as unknown as Repository, server, watch);
  t.equal(renamed.length, 1, 'only ours was to be renamed');
  t.match(renamed[0], /^\/b\/1\.new-\S+ \/b\/1$/);
});
