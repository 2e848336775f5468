import t from 'tap';
import { listBackupFolders } from '../../../lib/command/backup-folders';
import type { ResticAccess } from '../../../lib/command/restic-access';
import { check, find, readIndex } from '../../../lib/command/restic-check';
import { pointOfLayout } from '../../../lib/engine/inventory-points';
import { factsTag, withFacts } from '../../../lib/engine/restic/facts';
import { sampled } from '../../../lib/engine/sampled';
import type { AbsolutePath, VmId } from '../../../lib/opennebula/ids';
import type { Manifest } from '../../../lib/opennebula/manifest';
import { Secret } from '../../../lib/secret';

const [A, B, C, D] = ['a', 'b', 'c', 'd'].map((digit) => digit.repeat(64)) as [string, string, string, string];
const access = {
  ...{ repository: '/r' as AbsolutePath, sftp: undefined, password: new Secret('x'), connections: 5, throttle: [] },
  ...{ bandwidthLimitKib: undefined, compression: 'auto', maxThreads: undefined },
} as unknown as ResticAccess;
const ERRORS = 'Fatal: repository contains errors\n';

t.test('what restic check complains of, in the words of 0.14 and of 0.18', async (t) => {
  const told = (stderr: string) =>
    check(access, 'all', 'here').parse({ exitCode: 1, stdout: '', stderr: stderr + ERRORS });
  t.match(told(`Pack ID does not match, want ${A}, got ${B}\n`), { changed: [A], blobs: [], missing: [] });
  t.match(told(`pack ${A}: does not exist\n`), { missing: [A], changed: [] });
  t.match(told(`pack ${A}: unexpected file size: got 500, expected 600\n`), { cut: new Map([[A, 500]]), changed: [] });
  const blob = `pack ${A} contains 2 errors: [blob ${C}: decrypting blob <data/cc> failed blob ${D}: x unexpected pack id ${B}]\n`;
  t.match(told(blob), { blobs: [C, D], changed: [] });
  t.match(told('error for tree abcd1234:\n  tree is damaged\n'), { others: ['error for tree abcd1234:'] });
  t.match(told(`pack ${A}: not referenced in any index\n`), { missing: [], changed: [], others: [] });
  const well = check(access, 'none', 'here').parse({ exitCode: 0, stdout: 'no errors were found\n', stderr: '' });
  t.match(well, { missing: [], changed: [], blobs: [], others: [] });
  const locked = { exitCode: 1, stdout: '', stderr: 'Fatal: wrong password or no key found\n' };
  t.throws(() => check(access, 'none', 'here').parse(locked), { kind: 'password', message: /./ });
  t.throws(() => check(access, 'none', 'here').parse({ ...locked, stderr: 'odd' }), { kind: 'failed', message: /./ });
  t.ok(check(access, { part: 3, parts: 20 }, 'here').argv.includes('--read-data-subset=3/20'));
});

t.test('where data stands', async (t) => {
  const list = `[{"object_type":"blob","snapshot":"${A}","path":"/x/disk.0.0","id":"${B}"}]`;
  const said = { exitCode: 0, stdout: `some pack files are missing\n${list}\n`, stderr: '' };
  t.strictSame(find(access, 'pack', [B]).parse(said), [{ snapshot: A, path: '/x/disk.0.0' }]);
  t.strictSame(find(access, 'pack', [B]).parse({ ...said, stdout: '' }), []);
  const index = {
    packs: [
      { id: A, blobs: [{ id: C, offset: 10, length: 5 }] },
      { id: B, blobs: [] },
    ],
  };
  const read = readIndex(access, D, [A]).parse({ ...said, stdout: JSON.stringify(index) });
  t.strictSame(read, new Map([[A, [{ id: C, endsAt: 15 }]]]));
});

t.test('the tag that tells a manifest', async (t) => {
  const file = { name: 'disk.0.2', sizeBytes: 10, diskId: 0, virtualSizeMb: 42 };
  const manifest = {
    vmName: 'a,b & "c" \u00e4\u{1f600}',
    imageId: 6,
    parentId: 1,
    files: [file],
  } as unknown as Manifest;
  const tag = factsTag(manifest, 99);
  t.match(tag, /^one-facts:[\x21-\x7e]+$/);
  t.notMatch(tag, /,/, 'restic divides tags at commas');
  const files = [{ name: 'disk.0.2' }, { name: 'vm.xml' }];
  const base = { vmId: 7 as VmId, repository: '7', source: 'x', timeMs: 0, replaces: [] };
  const point = pointOfLayout({ ...base, files });
  t.match(withFacts(point, ['one-7', tag]), {
    ...{ vmName: manifest.vmName, imageId: 6, parentId: 1, storedBytes: 99 },
    disks: [{ id: 0, sizeBytes: 10, virtualSizeMb: 42 }],
  });
  t.equal(withFacts(point, ['one-7']), point);
  t.match(withFacts(point, ['one-facts:image=x&disk.0.2=oops&bytes=-1']), {
    imageId: undefined,
    storedBytes: undefined,
  });
  t.doesNotThrow(() => factsTag({ ...manifest, vmName: `${'x'.repeat(59)}\u{1f600}\ud800` }, 1));
});

t.test('the folders of rsync', async (t) => {
  const stdout = [
    'd\t4096\t1.5\t./7/0a',
    'f\t10\t2\t./7/0a/disk.0.0',
    'f\t2\t3.25\t./7/0a/vm.xml',
    'd\t4096\t1\t./7/no such name',
    'f\t10\t2\t./7/no such name/disk.0.0',
    'd\t4096\t1\t./x/0b',
    'f\t3\t1\t./7/stray',
    '',
    'm\t./7/0a/manifest.json\t{ "a":\t1 } ',
  ].join('\n');
  const parsed = listBackupFolders('/d' as AbsolutePath, undefined).parse({ exitCode: 0, stdout, stderr: '' });
  t.strictSame(parsed, [
    {
      ...{ vmId: '7', source: '0a', modifiedMs: 1500, manifest: '{ "a":\t1 } ' },
      files: [
        { name: 'disk.0.0', sizeBytes: 10, modifiedMs: 2000 },
        { name: 'vm.xml', sizeBytes: 2, modifiedMs: 3250 },
      ],
    },
  ]);
});

t.test('samples come to all files, one after the other', async (t) => {
  const all = Array.from({ length: 30 }, (_, n) => ({ key: `7/s${n}/disk.0.${n}`, sizeBytes: 100 + n }));
  const read = (share: number, seed: number) => sampled(all, { share, seed, bandwidthLimitKib: undefined });
  const parts = Array.from({ length: 10 }, (_, seed) => read(0.1, seed));
  t.equal(new Set(parts.flatMap((part) => [...part])).size, 30);
  t.equal(
    parts.reduce((sum, part) => sum + part.size, 0),
    30,
    'none twice',
  );
  t.ok(
    parts.every(({ size }) => size >= 1 && size <= 5),
    'in parts of about the same size',
  );
  t.strictSame(read(0.1, 3), read(0.1, 13));
  t.equal(read(1, 0).size, 30);
  t.equal(read(0, 0).size, 0);
});
