import { join } from 'node:path';
import type { AbsolutePath } from '../../lib/opennebula/ids';
import { lastOf } from '../../lib/opennebula/increment';
import type { Duty } from './duty';
import { fetch, imageOf, joined, lastPoint, pointAt, refused, samePoint, sameTpm, type VM } from './scene';

/** Duties of files(), read(), download() and pointOf(). */
export const READING: readonly Duty[] = [
  {
    name: 'every point in time restores',
    async run(t, { story, kept, foreign, neighbour, filled }) {
      const bed = await filled();
      for (const stage of kept.stages) {
        await samePoint(t, bed, kept, stage, story);
        if (stage.incrementId > 0) await sameTpm(t, bed, kept, stage, story);
      }
      await samePoint(t, bed, foreign, story.foreign, story);
      await samePoint(t, bed, neighbour, story.neighbour[0], story);
      t.strictSame(bed.leftovers(), [], 'reading leaves nothing');
      await bed.close();
    },
  },
  {
    name: 'URLs say all that a download needs',
    async run(t, { story, kept, filled }) {
      const bed = await filled();
      const engine = bed.open();
      const point = pointAt(kept, 2);
      const { disks, tpm, vmXml, point: stored } = await engine.files(point);
      t.strictSame(stored, point, 'the point is stored as oned knows it');
      t.ok(vmXml.endsWith('/vm.xml'));
      for (const [disk, file] of [...disks, ['tpm', tpm] as const]) {
        if (file === undefined) throw new Error('the TPM is not listed');
        const url = bed.parseUrl(file.url);
        t.match(url, { disk, path: file.path, format: 'raw' });
        const found = engine.pointOf(url);
        if (bed.pointsStandAlone) {
          t.equal(found.vmId, point.vmId);
          t.equal(lastOf(found.chain).source, lastOf(point.chain).source, `the URL of ${disk} leads back to the point`);
        } else {
          t.match(url, { datastoreId: bed.datastoreId, jobId: point.jobId });
          t.strictSame(found, point, `the URL of ${disk} leads back to the point`);
        }
        t.match(file.url, /^[a-z]+:\/\/[A-Za-z0-9/:,.@_-]+$/, 'no shell can misread it');
        await engine.endDownload(url);
      }
      const file = await fetch(bed, bed.open(), disks.get([...disks.keys()][1] as never)?.url ?? '', story);
      t.ok(file.startsWith(join(story.folder, 'download-')));
      await bed.close();
    },
  },
  {
    name: 'what is not there is not found',
    async run(t, { story, kept, filled }) {
      const bed = await filled();
      const engine = bed.open();
      const before = bed.stored();
      const unknown = joined(kept, story.chain[4], { source: 'deadbeef' });
      const holed = { ...kept, chain: kept.chain.map((one) => (one.id === 1 ? { ...one, source: 'deadbeef' } : one)) };
      const point = lastPoint(unknown);
      const { disks, vmXml } = await engine.files(lastPoint(kept));
      const url = [...disks.values()][0]?.url ?? '';
      await refused(t, engine.files(point), 'notFound', 'the files of an unknown backup');
      await refused(t, engine.files({ ...point, vmId: 8 as typeof VM, jobId: undefined }), 'notFound', 'of a VM');
      await refused(t, engine.read(point, vmXml), 'notFound', 'a file of an unknown backup');
      await refused(t, engine.read(lastPoint(kept), `${vmXml}.x` as AbsolutePath), 'notFound', 'an unknown file');
      const lost = url.replaceAll(kept.chain.at(-1)?.source ?? '', 'deadbeef');
      await refused(t, fetch(bed, engine, lost, story), 'notFound', 'a URL with an unknown backup');
      const noDisk = url.replace(/disk\.0(\.3)?$/, 'disk.9$1');
      await refused(t, fetch(bed, engine, noDisk, story), 'notFound', 'a URL with an unknown disk');
      if (!bed.pointsStandAlone) {
        await refused(t, engine.flatten(imageOf(holed), 2), 'notFound', 'a flatten of an unknown backup');
      }
      const neighboursOwn = { ...kept, vmId: 10 as typeof VM };
      await refused(t, engine.files(lastPoint(neighboursOwn)), 'notFound', 'the backups of another VM');
      t.strictSame(bed.stored(), before, 'and nothing has changed');
      t.strictSame(bed.leftovers(), []);
      await bed.close();
    },
  },
];
