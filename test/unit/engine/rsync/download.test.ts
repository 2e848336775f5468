import { execFileSync } from 'node:child_process';
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import t from 'tap';
import type { EngineContext } from '../../../../lib/engine/engine';
import type { RsyncConfig } from '../../../../lib/engine/rsync/config';
import { download } from '../../../../lib/engine/rsync/download';
import { RSYNC_SCHEME } from '../../../../lib/engine/rsync/engine';
import type { VmFolder } from '../../../../lib/engine/rsync/vm-folder';
import { LocalHost } from '../../../../lib/host/local';
import { parseBackupUrl } from '../../../../lib/opennebula/backup-url';
import type { AbsolutePath } from '../../../../lib/opennebula/ids';

t.test('a chain: the merge, and then the sending with the size of what was merged', async (t) => {
  const folder = t.testdir();
  const path = (name: string) => join(folder, name) as AbsolutePath;
  execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', path('disk.0.0'), '8M']);
  execFileSync('qemu-io', ['-c', 'write -P 65 0 3M', path('disk.0.0')], { stdio: 'ignore' });
  const of = ['-b', path('disk.0.0'), '-F', 'qcow2', path('disk.0.1')];
  execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', ...of]);
  execFileSync('qemu-io', ['-c', 'write -P 66 0 2M', path('disk.0.1')], { stdio: 'ignore' });
  const purposes: string[] = [];
  const { signal } = new AbortController();
  const server = new LocalHost({
    ...{ env: process.env, signal, supervision: { stallSeconds: 0, marker: undefined } },
    trace: (_, { purpose }) => purposes.push(purpose),
  });
  const told: { readonly total: number; readonly during: string }[] = [];
  const progress = (_: number, total: number): void => void told.push({ total, during: purposes.at(-1) ?? '' });
  const links = ['disk.0.0', 'disk.0.1'].map((name, link) => ({ name, path: path(name), link }));
  const output = new PassThrough();
  const come = buffer(output);
  await download(parseBackupUrl('rsync://100//0:a0,1:a1/b/disk.0.1', RSYNC_SCHEME), output, {
    folder: { server, resolve: async () => links, chainFiles: async () => links } as unknown as VmFolder,
    config: { temporaryFolder: folder } as unknown as RsyncConfig,
    context: { progress, signal, log: t.fail } as unknown as EngineContext,
  });
  output.end();
  const { length } = await come;
  const sums = links.reduce((sum, one) => sum + statSync(one.path).size, 0);
  t.ok(length > 3 * 2 ** 20 && length < sums, 'what is written twice is sent once');
  const totals = (step: RegExp) => new Set(told.filter(({ during }) => step.test(during)).map(({ total }) => total));
  t.strictSame([...totals(/^merge/)], [8 * 2 ** 20]);
  t.strictSame([...totals(/^read/)], [length]);
});
