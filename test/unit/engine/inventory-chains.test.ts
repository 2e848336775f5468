import t from 'tap';
import type { StoredPoint } from '../../../lib/engine/inventory';
import {
  chainUpToPoint,
  dependantsOf,
  linksOf,
  type PlacedPoint,
  placePoints,
  superseded,
} from '../../../lib/engine/inventory-chains';
import { defect, defectsOf, pointOfLayout, withManifest } from '../../../lib/engine/inventory-points';
import { problemOf } from '../../../lib/engine/inventory-problems';
import type { DiskId, ImageId, IncrementId, VmId } from '../../../lib/opennebula/ids';
import type { Manifest } from '../../../lib/opennebula/manifest';

type Extra = Partial<Omit<StoredPoint, 'imageId' | 'incrementId'>> & { imageId?: number; incrementId?: number };

/** Increment `id`, taken at minute `minute`. */
function point(source: string, id: number, minute: number, extra: Extra = {}): StoredPoint {
  const files = [{ name: `disk.0.${id}`, sizeBytes: 10 }, { name: 'vm.xml' }];
  const vmId = 7 as VmId;
  const layout = { vmId, repository: '7', source, timeMs: minute * 60_000, files, replaces: extra.replaces ?? [] };
  return { ...pointOfLayout(layout), ...(extra as Partial<StoredPoint>) };
}

/** The chain of each backup that restores, and of each other what is wrong. */
function told(points: readonly StoredPoint[]): Record<string, string> {
  const text = (placed: PlacedPoint): string =>
    problemOf(placed) ??
    linksOf(placed)
      .map(({ point: { source } }) => source)
      .join('-');
  return Object.fromEntries(placePoints(points).map((placed) => [placed.point.source, text(placed)]));
}

t.test('a chain, whatever the order it is listed in', async (t) => {
  const points = [point('c', 2, 2), point('a', 0, 0), point('b', 1, 1)];
  t.strictSame(told(points), { a: 'a', b: 'a-b', c: 'a-b-c' });
  const [first, , last] = placePoints(points);
  t.strictSame(chainUpToPoint(last as PlacedPoint), [
    { id: 0, source: 'a' },
    { id: 1, source: 'b' },
    { id: 2, source: 'c' },
  ]);
  t.strictSame(
    dependantsOf(first as PlacedPoint).map((one) => one.point.source),
    ['b', 'c'],
  );
});

t.test('VMs and repositories are kept apart', async (t) => {
  const points = [
    point('a', 0, 0),
    point('x', 1, 1, { vmId: 70 as VmId }),
    point('y', 1, 2, { repository: 'job_0' }),
    point('b', 1, 3),
  ];
  t.strictSame(told(points), { a: 'a', b: 'a-b', y: 'increment 0 is gone', x: 'increment 0 is gone' });
  t.strictSame(
    placePoints(points).map((one) => one.point.source),
    ['a', 'b', 'y', 'x'],
    'sorted by VM, place and time',
  );
});

t.test('a missing parent breaks what comes after it, and is named', async (t) => {
  const points = [point('a', 0, 0), point('c', 2, 2), point('d', 3, 3)];
  t.strictSame(told(points), { a: 'a', c: 'increment 1 is gone', d: 'increment 1 is gone' });
  t.equal(placePoints(points)[2]?.missing, 1);
});

t.test('a new chain never builds on an old one', async (t) => {
  const old = [point('a', 0, 0), point('b', 1, 1)];
  t.strictSame(told([...old, point('x', 0, 10), point('y', 1, 11)]), { a: 'a', b: 'a-b', x: 'x', y: 'x-y' });
  t.match(
    told([...old, point('x', 0, 10), point('z', 2, 12)]),
    { z: 'increment 1 is gone' },
    'although there is an increment 1',
  );
  const merged = point('m', 1, 20, { replaces: ['x', 'y'] });
  t.match(told([...old, point('c', 2, 2), merged, point('q', 3, 22)]), { q: 'increment 2 is gone' });
});

t.test('images tell chains apart, and together', async (t) => {
  const points = [
    point('a', 0, 0),
    point('b', 1, 1, { imageId: 4 }),
    point('x', 0, 2),
    point('c', 2, 3, { imageId: 4 }),
    point('y', 1, 4, { imageId: 5 }),
  ];
  t.strictSame(told(points), { a: 'a', b: 'a-b', x: 'x', c: 'a-b-c', y: 'x-y' });
  t.match(told([point('a', 0, 0), point('b', 1, 1, { imageId: 4 }), point('y', 2, 3, { imageId: 5 })]), {
    y: 'increment 1 is gone',
  });
});

t.test('a merged backup takes the place of those that it was made of', async (t) => {
  const merged = point('m', 2, 2, { replaces: ['a', 'b', 'c'] });
  t.strictSame(told([merged, point('d', 3, 3), point('e', 4, 4)]), { m: 'm', d: 'm-d', e: 'm-d-e' });
  const late = { ...merged, timeMs: 99 * 60_000 };
  t.strictSame(told([late, point('d', 3, 3)]), { d: 'm-d', m: 'm' }, 'even if its time is that of the merge');
  const all = [point('a', 0, 0), point('b', 1, 1), point('c', 2, 2)];
  t.match(told([...all, merged, point('d', 3, 3)]), { c: 'a-b-c', d: 'a-b-c-d', m: 'm' }, 'while both are there');
  t.match(told([...all.slice(1), merged, point('d', 3, 3)]), { c: 'increment 0 is gone', d: 'm-d' });
  const again = point('n', 3, 3, { replaces: ['m', 'd'] });
  t.match(told([again, point('e', 4, 4)]), { e: 'n-e' });
});

t.test('what a merged backup replaced and left behind', async (t) => {
  const sources = (points: readonly StoredPoint[]): string[] =>
    superseded(placePoints(points)).map((one) => one.point.source);
  const merged = point('m', 1, 1, { replaces: ['a', 'b'] });
  const all = [point('a', 0, 0), point('b', 1, 1), merged, point('c', 2, 2)];
  t.strictSame(sources(all), ['a', 'b']);
  t.strictSame(
    sources([...all.slice(0, 2), { ...merged, defects: [defect('disk.0.1', 'disk.0.1 is gone')] }]),
    [],
    'not for a broken one',
  );
  const bare = { ...merged, defects: [defect('vm.xml', 'vm.xml is gone')] };
  t.strictSame(sources([...all.slice(0, 2), bare]), [], 'nor for one that has lost what those still hold');
  const twice = [point('a', 0, 0, { imageId: 4 }), point('b', 1, 1), { ...merged, imageId: 5 as ImageId }];
  const needed = [...twice, point('c', 2, 2, { imageId: 4 })];
  t.strictSame(sources(needed), [], 'nothing goes when a backup that could be restored then could not');
});

t.test('damage that can be seen', async (t) => {
  const points = [
    point('a', 0, 0),
    point('b', 1, 1, { defects: [defect('disk.0.1', 'disk.0.1 is gone')] }),
    point('c', 2, 2),
    point('d', 3, 3),
  ];
  t.strictSame(told(points), {
    a: 'a',
    b: 'disk.0.1 is gone',
    c: 'increment 1: disk.0.1 is gone',
    d: 'increment 1: disk.0.1 is gone',
  });
});

t.test('damage is handed down by disk', async (t) => {
  const gone = (...names: string[]): Extra => ({ defects: names.map((name) => defect(name, `${name} is gone`)) });
  const both = [0, 1].map((id) => ({ id: id as DiskId, file: `disk.${id}.x` }));
  const points = [
    point('a', 0, 0, { disks: both }),
    point('b', 1, 1, gone('disk.1.1', 'vm.xml', 'manifest.json')),
    point('c', 2, 2, { disks: both }),
    point('d', 3, 3),
    point('e', 4, 4, { disks: both, ...gone('disk.0.4') }),
  ];
  const disk = (id: number) => placePoints(points).map((one) => problemOf(one, [id as DiskId]));
  t.strictSame(disk(0), [undefined, undefined, undefined, undefined, 'disk.0.4 is gone']);
  const inherited = 'increment 1: disk.1.1 is gone';
  t.strictSame(disk(1), [undefined, 'disk.1.1 is gone', inherited, undefined, undefined], 'd holds no disk 1');
  t.match(told(points), { c: inherited, d: 'a-b-c-d', e: 'disk.0.4 is gone' });
  t.match(told([point('a', 0, 0, gone('vm.xml')), point('b', 1, 1)]), { a: 'a', b: 'a-b' }, 'disks need no vm.xml');
});

t.test('backups that stand alone need no other', async (t) => {
  const alone = { standsAlone: true };
  const points = [point('b', 1, 1, alone), point('c', 2, 2, alone)];
  t.strictSame(told(points), { b: 'b', c: 'c' });
  const [first, last] = placePoints(points) as [PlacedPoint, PlacedPoint];
  t.strictSame(chainUpToPoint(last), [{ id: 2, source: 'c' }]);
  t.equal(last.parent, first, 'but it is said what they were made on');
  t.strictSame(dependantsOf(first), []);
});

t.test('what the names of files tell', async (t) => {
  const told = (...names: string[]) => {
    const files = names.map((name) => ({ name }));
    const base = { vmId: 7 as VmId, repository: '7', source: 'a', timeMs: 0, replaces: [] };
    const { type, incrementId, disks, hasManifest } = pointOfLayout({ ...base, files });
    return [type, incrementId, disks.map(({ id }) => id).join(), hasManifest];
  };
  t.strictSame(told('disk.0.0', 'disk.1.0', 'vm.xml', 'disk.tpm.0'), ['FULL', 0, '0,1', false]);
  t.strictSame(told('disk.10.3', 'disk.2.3', 'vm.xml', 'manifest.json'), ['INCREMENT', 3, '2,10', true]);
  t.strictSame(told('disk.0', 'vm.xml'), ['FULL', 0, '0', false], 'from before increments');
  t.strictSame(told('backup'), ['UNKNOWN', undefined, '', false], 'a snapshot of a whole folder');
  t.strictSame(told('disk.0.rbd2', 'vm.xml'), ['FULL', 0, '0', false]);
  t.strictSame(told('disk.0.2.rbdiff', 'vm.xml'), ['INCREMENT', 2, '0', false]);
  t.strictSame(
    told('disk.0.rbd2', 'disk.0.1.rbdiff', 'disk.0.2.rbdiff'),
    ['FULL', 2, '0,0,0', false],
    'merged exports',
  );
});

t.test('what a manifest adds', async (t) => {
  const manifest = {
    version: 1,
    driver: 'x',
    time: '2026-01-01T00:00:00Z',
    datastoreId: 100,
    vmId: 7,
    vmName: 'web',
    imageId: 4,
    incrementId: 1,
    parentId: 0,
    files: [{ name: 'disk.0.1', sizeBytes: 10, diskId: 0, virtualSizeMb: 2048 }],
  } as unknown as Manifest;
  const told = withManifest(point('b', 1, 1), manifest);
  t.match(told, { vmName: 'web', imageId: 4, parentId: 0, type: 'INCREMENT', disks: [{ virtualSizeMb: 2048 }] });
  t.equal(withManifest(point('b', 1, 1), { ...manifest, replaces: ['a'] }).type, 'FULL');
  const files = [...manifest.files, { name: 'vm.xml', sizeBytes: 5 }];
  const defects = (...held: { name: string; sizeBytes: number }[]) => defectsOf({ ...manifest, files }, held);
  t.strictSame(defects({ name: 'disk.0.1', sizeBytes: 10 }, { name: 'vm.xml', sizeBytes: 5 }), []);
  t.strictSame(
    defects({ name: 'disk.0.1', sizeBytes: 9 }),
    [
      { file: 'disk.0.1', diskId: 0, what: 'disk.0.1 has 9 bytes, not 10' },
      { file: 'vm.xml', diskId: undefined, what: 'vm.xml is gone' },
    ],
    'all that is wrong',
  );
  t.match(defects(), [{ what: 'disk.0.1 is gone' }, {}]);
  t.match(placePoints([{ ...told, incrementId: undefined as unknown as IncrementId }]), [{ broken: /not known/ }]);
});

t.test('a lost one, where every backup stands alone', async (t) => {
  const alone = (source: string, id: number, chain: string): StoredPoint =>
    point(source, id, id, { chain, standsAlone: true });
  const lost = (...points: StoredPoint[]): unknown[] =>
    placePoints(points).map((placed) => problemOf(placed) ?? placed.missing);
  t.strictSame(lost(alone('a', 0, 'x'), alone('b', 1, 'x'), alone('c', 2, 'x')), [undefined, undefined, undefined]);
  t.strictSame(lost(alone('a', 0, 'x'), alone('c', 2, 'x'), alone('d', 3, 'x')), [undefined, 1, undefined]);
  t.strictSame(lost(alone('c', 2, 'x'), alone('d', 3, 'x')), [undefined, undefined], 'a flatten takes the oldest');
  t.strictSame(lost(alone('a', 0, 'old'), alone('c', 2, 'x')), [undefined, undefined], 'and leaves other chains alone');
});
