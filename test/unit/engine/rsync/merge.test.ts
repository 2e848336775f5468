import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { makeSparse, mergeInto } from '../../../../lib/engine/rsync/merge';
import type { AbsolutePath } from '../../../../lib/opennebula/ids';
import { localHost } from '../../../helpers/local-host';

t.test(
  'RSYNC_SPARSIFY leaves a disk as it is that needed no merging: its file is that of the old backup, too',
  async (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'one-backup-unit-'));
    t.teardown(() => rmSync(folder, { recursive: true, force: true }));
    const [tools, merged, old] = ['tools', 'merged', 'old'].map((name) => join(folder, name)) as [
      string,
      string,
      string,
    ];
    for (const one of [tools, merged, old]) mkdirSync(one);
    writeFileSync(join(tools, 'virt-sparsify'), '#!/bin/sh\nfor file; do :; done; : >"$file"\n');
    chmodSync(join(tools, 'virt-sparsify'), 0o755);
    const disk = join(old, 'disk.1.0');
    writeFileSync(disk, 'a raw disk'.padEnd(65_536));
    const server = localHost(undefined, { ...process.env, PATH: `${tools}:${process.env.PATH}` });
    t.ok((await server.programs(['virt-sparsify'])).has('virt-sparsify'));

    const [only] = await mergeInto(
      merged as AbsolutePath,
      [{ path: disk as AbsolutePath, name: 'disk.1.0', link: 0 }],
      server,
    );
    if (only === undefined) throw new Error('no disk was merged');
    t.equal(statSync(join(merged, 'disk.1.0')).ino, statSync(disk).ino, 'no byte of it was copied');
    const watch = { log: (text: string) => t.fail(text), signal: new AbortController().signal };
    await makeSparse(only, server, watch);
    t.equal(readFileSync(disk, 'utf8').trim(), 'a raw disk');

    const own = join(merged, 'own') as AbsolutePath;
    writeFileSync(own, 'x');
    await makeSparse({ ...only, copy: { path: own, format: 'raw' }, isLink: false }, server, watch);
    t.equal(readFileSync(own, 'utf8'), '', 'one of its own is made sparse');
  },
);
