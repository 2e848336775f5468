import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import {
  PartFile,
  partName,
  putInPlace,
  removeDeadParts,
  replaceBy,
  sha256Of,
  writeWhole,
} from '../../../lib/control/part-file';
import { RestoreRecord } from '../../../lib/control/restore-record';
import { VerifyState } from '../../../lib/control/verify-state';
import { type AbsolutePath, joinPath } from '../../../lib/opennebula/ids';

const { signal } = new AbortController();
const sha256 = (content: Buffer | string): string => createHash('sha256').update(content).digest('hex');

t.test('a part becomes a file', async (t) => {
  const folder = t.testdir() as AbsolutePath;
  const part = new PartFile(folder, 'disk.0.raw');
  const content = Buffer.concat([Buffer.from('head'), Buffer.alloc(2 ** 20), Buffer.from('x'), Buffer.alloc(2 ** 20)]);
  const told: number[] = [];
  await part.fill(
    async (output) => {
      for (let at = 0; at < content.length; at += 65_537) output.write(content.subarray(at, at + 65_537));
    },
    (bytes) => told.push(bytes),
  );
  t.equal(part.bytes, content.length);
  t.equal(told.at(-1), content.length);
  t.equal(part.sha256(), sha256(content));
  t.strictSame(readdirSync(folder), [`.one-backup-${process.pid}@${hostname()}:disk.0.raw.part`]);
  await putInPlace(part.path, joinPath(folder, 'disk.0.raw'));
  t.ok(readFileSync(join(folder, 'disk.0.raw')).equals(content), 'with its zeros, to the last');
  t.ok(statSync(join(folder, 'disk.0.raw')).blocks * 512 < 2 ** 20, 'which take no room');
  t.equal(await sha256Of(joinPath(folder, 'disk.0.raw'), signal), sha256(content));
  t.equal(await sha256Of(joinPath(folder, 'none'), signal), undefined);
});

t.test('a failure while it is filled is that failure; a folder that is gone is said', async (t) => {
  const folder = t.testdir() as AbsolutePath;
  const part = new PartFile(folder, 'x');
  await t.rejects(
    part.fill(
      () => Promise.reject(new Error('lost')),
      () => {},
    ),
    { message: 'lost' },
  );
  const gone = new PartFile(joinPath(folder, 'no'), 'x');
  await t.rejects(
    gone.fill(
      async () => {},
      () => {},
    ),
    { kind: 'failed', message: /cannot be written/ },
  );
});

t.test('what dead runs left', async (t) => {
  const dead = `.one-backup-4194304@${hostname()}:disk.0.qcow2.part`;
  const others = [
    '.hidden.part',
    '.one-backup-4194304@elsewhere.example:x.part',
    '.video.4194304.part',
    'disk.1.qcow2',
  ];
  const folder = t.testdir(Object.fromEntries([dead, ...others].map((name) => [name, '']))) as AbsolutePath;
  t.strictSame(await removeDeadParts(folder), [dead]);
  t.notOk(existsSync(join(folder, dead)));
  t.strictSame(readdirSync(folder).sort(), others.sort());
  t.ok(Buffer.byteLength(partName('\u20ac'.repeat(85))) <= 255, 'the longest name has a part, too');
});

t.test('what is replaced goes when the new one has its name', async (t) => {
  const folder = t.testdir({ old: { kept: 'x' }, new: { fresh: 'y' }, file: 'one', other: 'two' }) as AbsolutePath;
  await replaceBy(joinPath(folder, 'new'), folder, 'old');
  t.strictSame(readdirSync(join(folder, 'old')), ['fresh']);
  await replaceBy(joinPath(folder, 'other'), folder, 'file');
  t.equal(readFileSync(join(folder, 'file'), 'utf8'), 'two');
  await t.rejects(replaceBy(joinPath(folder, 'gone'), folder, 'old'));
  t.strictSame(readdirSync(join(folder, 'old')), ['fresh'], 'what is not replaced stays');
  await replaceBy(joinPath(folder, 'file'), folder, 'old');
  t.equal(readFileSync(join(folder, 'old'), 'utf8'), 'two', 'a file for a folder');
  t.strictSame(readdirSync(folder), ['old']);
});

t.test('the record of a restore', async (t) => {
  const folder = t.testdir({ disk: 'content' }) as AbsolutePath;
  const file = { name: 'disk', of: 'this', sizeBytes: 7, sha256: sha256('content'), verified: ['size'] };
  await (await RestoreRecord.read(folder)).note(file);
  const record = await RestoreRecord.read(folder);
  t.strictSame(await record.verified('disk', 'this', signal), file);
  t.equal(await record.verified('disk', 'that', signal), undefined);
  t.equal(await record.verified('other', 'this', signal), undefined);
  writeFileSync(join(folder, 'disk'), 'changed');
  t.equal(await record.verified('disk', 'this', signal), undefined);
  writeFileSync(join(folder, 'restore.json'), '{"files":[null,{}]}');
  t.equal(await (await RestoreRecord.read(folder)).verified('disk', 'this', signal), undefined);
});

t.test('the state of a verification', async (t) => {
  const file = joinPath(t.testdir() as AbsolutePath, 'sub', 'state.json');
  const question = { datastore: 100, basePath: '/x', vm: null, share: 0.05 };
  const none = { seed: undefined, restart: false };
  const first = await VerifyState.open(file, question, none);
  t.equal(first.resumed, false);
  await first.note('a', []);
  const again = await VerifyState.open(file, question, none);
  t.equal(again.resumed, true);
  t.strictSame(again.found('a'), []);
  t.equal(again.found('b'), undefined);
  t.equal(again.seed, first.seed);
  for (const [what, other, options] of [
    ['of another VM', { ...question, vm: 7 }, none],
    ['with another seed', question, { ...none, seed: first.seed + 1 }],
    ['begun anew', question, { ...none, restart: true }],
  ] as const)
    t.equal((await VerifyState.open(file, other, options)).resumed, false, what);
  const saved = JSON.parse(readFileSync(file, 'utf8'));
  writeFileSync(file, JSON.stringify({ ...saved, notedMs: Date.now() - 86_400_001 }));
  t.equal((await VerifyState.open(file, question, none)).resumed, false, 'of the day before');
  writeFileSync(file, '{');
  t.equal((await VerifyState.open(file, question, none)).resumed, false);
  await again.end();
  t.notOk(existsSync(file));
});

t.test('a small file is written as a whole', async (t) => {
  const folder = t.testdir() as AbsolutePath;
  await writeWhole(folder, 'empty', '');
  await writeWhole(folder, 'x', 'one');
  await writeWhole(folder, 'x', 'two');
  t.equal(readFileSync(join(folder, 'x'), 'utf8'), 'two');
  t.strictSame(readdirSync(folder).sort(), ['empty', 'x']);
});
