import { copyFile, mkdir, rename, rm, symlink, writeFile } from 'node:fs/promises';
import type { Test } from 'tap';
import type { BackupSource } from '../../lib/engine/engine';
import { DriverError, type ErrorKind } from '../../lib/errors';
import { failure } from '../helpers/failure';
import { folderBytes } from './bed';
import type { Duty } from './duty';
import {
  extend,
  imageOf,
  JOB,
  joined,
  LONER,
  lastPoint,
  lay,
  NEIGHBOUR,
  refused,
  type Scene,
  samePoint,
  staged,
  VM,
} from './scene';

const MIB = 2 ** 20;

/** Duties of space(), backup() and discard(). */
export const STORING: readonly Duty[] = [
  {
    name: 'the first backup of a datastore',
    async run(t, { story, empty }) {
      const bed = await empty();
      const before = await bed.open().space();
      t.ok(before.totalBytes > 0 && before.freeBytes > 0 && before.freeBytes <= before.totalBytes, 'space is known');
      const nothing = { vmId: LONER, jobId: undefined, chain: [], stages: [] };
      const unknown = joined(nothing, story.neighbour[0], { source: 'deadbeef' });
      await refused(t, bed.open().files(lastPoint(unknown)), 'notFound', 'there is nothing to list');
      await bed.open().remove(imageOf(unknown));

      const source = await lay(bed, nothing, story.neighbour[0]);
      const bytes = folderBytes(source.folder);
      const stored = await bed.open().backup(source);
      t.match(stored.source, /^[A-Za-z0-9]{1,64}$/, 'the source is a name that oned can hold');
      t.equal(stored.format, 'raw');
      t.ok(stored.sizeMb * MIB >= bytes, 'the size is rounded up');
      t.ok(stored.sizeMb * MIB < bytes + 2 * MIB, 'the size is in MB');
      const kept = joined(nothing, story.neighbour[0], stored);
      const more = await extend(bed, bed.open(), kept, story.neighbour[1]);
      t.not(more.chain[1]?.source, stored.source, 'each backup has a name of its own');
      t.equal(bed.stored().length, 2);
      await samePoint(t, bed, more, story.neighbour[1], story);
      const after = await bed.open().space();
      const growth = Math.abs(after.totalBytes - before.totalBytes) / before.totalBytes;
      t.ok(growth < 0.02, 'space is that of the same filesystem as before');
      t.strictSame(bed.leftovers(), []);
      await bed.close();
    },
  },
  {
    name: 'discard takes one backup back',
    async run(t, { story, kept, filled }) {
      const bed = await filled();
      const abort = new AbortController();
      const engine = bed.open({ signal: abort.signal });
      const more = await extend(bed, engine, kept, story.chain[4]);
      const before = bed.stored().length;
      const source = more.chain[4]?.source ?? '';
      abort.abort(new DriverError('cancelled', 'cancelled by the test'));
      await engine.discard(VM, JOB, source);
      t.equal(bed.stored().length, before - 1, 'also when the action was cancelled meanwhile');
      await bed.open().discard(VM, JOB, source);
      t.equal(bed.stored().length, before - 1, 'what is gone is fine, and nothing else goes');
      await refused(t, bed.open().files(lastPoint(more)), 'notFound', 'what was discarded');
      const again = await extend(bed, bed.open(), kept, story.chain[4]);
      await samePoint(t, bed, again, story.chain[4], story);
      await bed.close();
    },
  },
  {
    name: 'an increment without its parent is refused',
    async run(t, { story, kept, empty, filled }) {
      const blank = await empty();
      const first = await lay(blank, kept, story.chain[4]);
      await refused(t, blank.open().backup(first), 'notFound', 'nothing is stored');
      t.strictSame(blank.stored(), []);
      const none = { vmId: NEIGHBOUR, jobId: JOB, chain: [], stages: [] };
      await extend(blank, blank.open(), none, story.neighbour[0]);
      const second = await lay(blank, kept, story.chain[4]);
      await refused(t, blank.open().backup(second), 'notFound', 'what the job holds is of another VM');
      t.equal(blank.stored().length, 1);
      await blank.close();
      const bed = await filled();
      const before = bed.stored();
      const source = await lay(bed, kept, story.chain[4]);
      const naming = (parent = 'deadbeef') => ({ ...source, parentSource: async () => parent });
      await refused(t, bed.open().backup(naming()), 'notFound', 'the one that oned names is gone');
      t.strictSame(bed.stored(), before);
      t.strictSame(bed.leftovers(), []);
      const stored = await bed.open().backup(naming(kept.chain[3]?.source));
      await samePoint(t, bed, joined(kept, story.chain[4], stored), story.chain[4], story);
      await bed.close();
    },
  },
  {
    name: 'an increment of a disk that its parent lacks is refused',
    async run(t, { story, empty }) {
      const bed = await empty();
      const [full, , third] = story.chain;
      const kept = await extend(bed, bed.open(), { vmId: VM, jobId: JOB, chain: [], stages: [] }, full);
      const before = bed.stored();
      const parentSource = async () => kept.chain[0]?.source;
      const orphan = bed.open().backup({ ...(await lay(bed, kept, third)), parentSource });
      const says = /^disk 1 comes as an increment, and increment 0, which it builds on, has no such disk .*--reset/;
      await t.rejects(orphan, failure('notFound', says));
      t.strictSame(bed.stored(), before, 'nothing of it is stored');
      t.strictSame(bed.leftovers(), []);
      const added = { ...(await lay(bed, kept, story.chain[1])), parentSource };
      const more = joined(kept, story.chain[1], await bed.open().backup(added));
      await samePoint(t, bed, more, story.chain[1], story);
      await bed.close();
    },
  },
  {
    name: 'two first backups at once into one job',
    async run(t, { story, empty }) {
      const bed = await empty();
      const none = { jobId: JOB, chain: [], stages: [] };
      const [one, other] = await Promise.all([
        extend(bed, bed.open(), { ...none, vmId: VM }, story.foreign),
        extend(bed, bed.open(), { ...none, vmId: NEIGHBOUR }, story.neighbour[0]),
      ]);
      t.equal(bed.stored().length, 2);
      await samePoint(t, bed, one, story.foreign, story);
      await samePoint(t, bed, other, story.neighbour[0], story);
      t.strictSame(bed.leftovers(), []);
      await bed.close();
    },
  },
  {
    name: 'two increments at once into one job',
    async run(t, { story, kept, neighbour, filled }) {
      const bed = await filled();
      const [one, other] = await Promise.all([
        extend(bed, bed.open(), kept, story.chain[4]),
        extend(bed, bed.open(), neighbour, story.neighbour[1]),
      ]);
      await samePoint(t, bed, one, story.chain[4], story);
      await samePoint(t, bed, other, story.neighbour[1], story);
      t.strictSame(bed.leftovers(), []);
      await bed.close();
    },
  },
  { name: 'a staging folder that is not what it should be', run: badStaging },
];

/** Each spoils a staging folder that was laid well. */
const SPOILED: readonly [
  what: string,
  kinds: ErrorKind | readonly ErrorKind[],
  spoil: (source: BackupSource, disk: string) => Promise<void>,
][] = [
  ['it holds no vm.xml', 'notFound', ({ folder }) => rm(`${folder}/vm.xml`)],
  ['it holds no disk', 'notFound', (_, disk) => rm(disk)],
  ['it holds another disk only', 'notFound', ({ folder }, disk) => rename(disk, `${folder}/disk.1.4`)],
  ['a disk is a link', 'failed', (_, disk) => move(disk, `${disk}.aside`).then(() => symlink(`${disk}.aside`, disk))],
  ['a disk is a folder', 'failed', (_, disk) => rm(disk).then(() => mkdir(disk))],
  [
    'vm.xml is a link',
    'failed',
    ({ folder }) => rm(`${folder}/vm.xml`).then(() => symlink('/etc/hostname', `${folder}/vm.xml`)),
  ],
  ['it is empty', 'notFound', ({ folder }) => rm(folder, { recursive: true }).then(() => mkdir(folder))],
  ['it is not there', 'notFound', ({ folder }) => rm(folder, { recursive: true })],
  // Permissions do not stop root; a circle of links stops everybody.
  [
    'it cannot be read',
    ['failed', 'notFound'],
    ({ folder }) => rm(folder, { recursive: true }).then(() => symlink(folder, folder)),
  ],
  [
    'it is a file',
    ['failed', 'notFound'],
    ({ folder }) => rm(folder, { recursive: true }).then(() => writeFile(folder, '')),
  ],
];

async function badStaging(t: Test, { story, kept, filled }: Scene): Promise<void> {
  const bed = await filled();
  const before = bed.stored();
  const engine = bed.open();
  for (const [what, kinds, spoil] of SPOILED) {
    const source = await lay(bed, kept, story.chain[4]);
    await spoil(source, staged(bed, VM, 'disk.0.4'));
    await refused(t, engine.backup(source), kinds, what);
    t.strictSame(bed.stored(), before, `${what}: nothing was stored`);
    await rm(source.folder, { recursive: true, force: true });
  }
  t.strictSame(bed.leftovers(), []);
  await samePoint(t, bed, await extend(bed, engine, kept, story.chain[4]), story.chain[4], story);
  await bed.close();
}

async function move(from: string, to: string): Promise<void> {
  await copyFile(from, to);
  await rm(from);
}
