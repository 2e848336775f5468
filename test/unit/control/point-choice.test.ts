import t from 'tap';
import { csvLine, sizeText, timeText } from '../../../lib/control/backup-texts';
import { compareWithOned } from '../../../lib/control/oned-backups';
import { choosePoint, parseMoment, wholeChain } from '../../../lib/control/point-choice';
import { findingsOf } from '../../../lib/control/verify-findings';
import type { StoredPoint } from '../../../lib/engine/inventory';
import { placePoints } from '../../../lib/engine/inventory-chains';
import { pointOfLayout } from '../../../lib/engine/inventory-points';
import type { DiskId, IncrementId, VmId } from '../../../lib/opennebula/ids';

const VM = 7 as VmId;

function point(source: string, id: number, minute: number, disks: readonly number[] = [0]): StoredPoint {
  const files = disks.map((disk) => ({ name: `disk.${disk}.${id}` }));
  const timeMs = Date.parse('2026-11-20T05:00:00.500Z') + minute * 60_000;
  return pointOfLayout({ vmId: VM, repository: '7', source, timeMs, files, replaces: [] });
}

/** Two chains; the second one has lost its increment 1. */
const POINTS = [point('a0', 0, 0), point('a1', 1, 1), point('b0', 0, 10), point('b2', 2, 12)];
const PLACED = placePoints(POINTS);
const chosen = (wanted: object): string => choosePoint(PLACED, { vmId: VM, ...wanted }).point.source;
const at = (text: string): number => parseMoment(text, '--at');

t.test('which backup is meant', async (t) => {
  t.equal(chosen({}), 'b2', 'the newest');
  t.equal(chosen({ source: 'a1' }), 'a1');
  t.equal(chosen({ source: 'b0' }), 'b0');
  t.equal(chosen({ incrementId: 0 as IncrementId }), 'b0', 'of the newest chain');
  t.equal(chosen({ incrementId: 1 as IncrementId }), 'a1');
  t.equal(chosen({ untilMs: at('2026-11-20T05:10:00Z') }), 'b0', 'a time as the list shows it');
  t.equal(chosen({ untilMs: at('2026-11-20T05:09:59Z') }), 'a1');
  t.throws(() => chosen({ source: 'a' }), { kind: 'notFound', message: /begins the name of 2/ });
  t.throws(() => chosen({ source: 'c' }), { kind: 'notFound', message: /./ });
  t.throws(() => chosen({ incrementId: 5 as IncrementId }), { kind: 'notFound', message: /It has: 0, 1, 2/ });
  t.throws(() => chosen({ untilMs: at('2025-01-01') }), { kind: 'notFound', message: /so old/ });
  t.throws(() => choosePoint(PLACED, { vmId: 8 as VmId }), { kind: 'notFound', message: /backups of VM 7/ });
  t.throws(() => choosePoint([], { vmId: 8 as VmId }), { kind: 'notFound', message: /with: backupctl list/ });
});

t.test('the chain of it', async (t) => {
  const sources = (source: string): string[] =>
    wholeChain(choosePoint(PLACED, { vmId: VM, source }), PLACED).map((one) => one.point.source);
  t.strictSame(sources('a1'), ['a0', 'a1']);
  t.throws(() => sources('b2'), { kind: 'damaged', message: /increment 1 is gone.*--source b0/ });
});

t.test('times', async (t) => {
  const local = (...parts: [number, number, number, number, number, number, number]) => new Date(...parts).getTime();
  t.equal(at('2026-11-20'), local(2026, 10, 20, 23, 59, 59, 999), 'the end of the day');
  t.equal(at('2026-11-20 05:53'), local(2026, 10, 20, 5, 53, 59, 999));
  t.equal(at('2026-11-20T05:53:47'), local(2026, 10, 20, 5, 53, 47, 999));
  t.equal(at('2026-11-20T05:53:47Z'), Date.parse('2026-11-20T05:53:47.999Z'));
  t.equal(at('2026-11-20T05:53:47.123Z'), Date.parse('2026-11-20T05:53:47.123Z'));
  t.equal(at('2026-11-20T05:53+02:00'), Date.parse('2026-11-20T03:53:59.999Z'));
  for (const wrong of [
    '',
    'yesterday',
    '2026-13-01',
    '2026-02-31',
    '2026-04-31 05:53',
    '20.11.2026',
    '2026-11-20 5:53',
  ])
    t.throws(() => at(wrong), { kind: 'usage', message: /./ }, wrong);
  t.equal(at(timeText(local(2026, 0, 2, 3, 4, 5, 678))), local(2026, 0, 2, 3, 4, 5, 999), 'as they are shown');
});

t.test('compared with oned', async (t) => {
  const backup = (source: string) => ({ imageId: 1, imageName: '', vmId: 7, incrementId: 0, source });
  const merged = { ...point('m1', 1, 1), replaces: ['x0', 'x1'] };
  const { onlyOned, onlyServer } = compareWithOned([...POINTS, merged], ['a0', 'a1', 'x0', 'x1', 'z9'].map(backup));
  t.strictSame(
    onlyOned.map(({ source }) => source),
    ['z9'],
    'what was merged is not lost',
  );
  t.strictSame(
    onlyServer.map(({ source }) => source),
    ['b0', 'b2'],
  );
});

t.test('what verify tells', async (t) => {
  const points = [point('a0', 0, 0), point('a1', 1, 1, [0, 1]), point('a2', 2, 2, [0, 1]), point('a3', 3, 3)];
  const damage = (diskId: number | undefined) => ({
    vmId: VM,
    jobId: undefined,
    source: 'a1',
    diskId: diskId as DiskId | undefined,
    what: 'x',
  });
  const needed = (diskId: number | undefined): readonly string[] | undefined =>
    findingsOf(placePoints(points), { damages: [damage(diskId)] })[0]?.neededBy;
  t.strictSame(needed(0), ['a2', 'a3']);
  t.strictSame(needed(1), ['a2'], 'a3 has no such disk');
  t.strictSame(needed(undefined), ['a2', 'a3']);
  const gone = { vm: 7, increment: 1, source: null, disk: null, what: 'it is gone, with disk 0', neededBy: ['b2'] };
  t.strictSame(findingsOf(PLACED, {}), [gone]);
  const listed = (incrementId: number, source: string) => ({ imageId: 1, imageName: '', vmId: 7, incrementId, source });
  t.strictSame(
    findingsOf(PLACED, { onlyOned: [listed(1, 'b1'), listed(3, 'b3')] }),
    [gone, { ...gone, increment: 3, source: 'b3', what: 'oned lists it, and it is gone', neededBy: [] }],
    'told once',
  );
  const noted = (incrementId: number, source: string) => ({
    ...{ vmId: VM, incrementId: incrementId as IncrementId, source },
    ...{ diskIds: [0, 1] as DiskId[], note: '/x' },
  });
  t.strictSame(
    findingsOf(PLACED, { lost: [noted(1, 'b1'), noted(1, 'c1')] }),
    [
      { ...gone, source: 'b1', what: 'it is gone, with disk 0, 1' },
      { ...gone, source: 'c1', what: 'it is gone, with disk 0, 1', neededBy: [] },
    ],
    'what builds on it and the note are of one backup; that of another image is another one',
  );
  t.strictSame(
    findingsOf([], {
      lost: [{ ...noted(0, 'z0'), incrementId: undefined, diskIds: [] }],
      onlyOned: [listed(3, 'z0')],
    }).map(({ source, what }) => `${source}: ${what}`),
    ['z0: it is gone'],
    'told once, though its note is damaged',
  );
  const empty = point('a4', 4, 4, []);
  t.match(
    findingsOf(placePoints([...points, empty]), {}),
    [{ vm: 7, source: 'a4', what: /not known/, neededBy: [] }],
    'one that has lost all disks is not well',
  );
  t.equal(findingsOf(placePoints([empty]), { damages: [{ ...damage(undefined), source: 'a4' }] }).length, 1);
  const ofXml = { ...damage(undefined), file: 'vm.xml' };
  t.strictSame(findingsOf(placePoints(points), { damages: [ofXml] })[0]?.neededBy, [], 'nothing is built on a vm.xml');
  const ofNone = { ...damage(undefined), source: undefined };
  t.match(findingsOf(PLACED, { damages: [ofNone] })[1], { vm: null, what: 'x', neededBy: [] });
});

t.test('texts', async (t) => {
  t.equal(csvLine([1, 'a,b', 'say "x"', undefined, '=1+1', '-', -1]), `1,"a,b","say ""x""",,'=1+1,'-,-1`);
  t.strictSame([0, 1023, 1024, 1536 * 1024, undefined].map(sizeText), ['0 B', '1023 B', '1.0 KiB', '1.5 MiB', '']);
});
