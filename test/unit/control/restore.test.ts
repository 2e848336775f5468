import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { type DiskMeans, restoreDisk, type WantedDisk } from '../../../lib/control/disk-restore';
import { restore } from '../../../lib/control/restore';
import { roomNeeded } from '../../../lib/control/restore-plan';
import type { Engine } from '../../../lib/engine/engine';
import type { Inventory } from '../../../lib/engine/inventory';
import { pointOfLayout } from '../../../lib/engine/inventory-points';
import { DriverError } from '../../../lib/errors';
import type { Host } from '../../../lib/host/host';
import type { AbsolutePath, DiskId, VmId } from '../../../lib/opennebula/ids';
import { localHost } from '../../helpers/local-host';
import { NO_ONED, runOn } from './stored-world';

/** Raw disks of 1 MiB; they need no qemu-img. */
const DISK_BYTES = 2 ** 20;
const DISKS = [0, 1] as DiskId[];
const VM_XML = `<VM><ID>7</ID><TEMPLATE>${DISKS.map((id) => `<DISK><DISK_ID>${id}</DISK_ID><SIZE>1</SIZE></DISK>`).join('')}</TEMPLATE><USER_TEMPLATE/></VM>`;

/** The machine on which restore runs. */
const local: Host = localHost();

/** Two full backups of VM 7, `a0` and `b0`, whose disks hold that letter; a disk comes by `download`. */
function backups(
  download: (source: string, disk: number) => Promise<Buffer>,
  { machine = local, sizeBytes = DISK_BYTES } = {},
) {
  const files = [...DISKS.map((id) => ({ name: `disk.${id}.0`, sizeBytes })), { name: 'vm.xml' }];
  const points = ['a0', 'b0'].map((source, at) =>
    pointOfLayout({ vmId: 7 as VmId, repository: '7', source, timeMs: 1e12 + at, files, replaces: [] }),
  );
  const stored: Partial<Inventory> = { points: async () => points, sendsAsStored: true };
  stored.inspect = async (point) => ({
    ...{ point, manifest: undefined, place: '' },
    files: DISKS.map((id) => ({ name: `disk.${id}.0`, sizeBytes })),
  });
  const engine: Partial<Engine> = {
    files: async (point) => ({
      point,
      disks: new Map(
        DISKS.map((id) => {
          const path = `/b/disk.${id}.0` as AbsolutePath;
          return [id, { path, url: `rsync://100//0:${point.chain[0].source}${path}` }];
        }),
      ),
      ...{ tpm: undefined, vmXml: '/b/vm.xml' as AbsolutePath },
    }),
    read: async () => Buffer.from(VM_XML),
    download: async ({ chain, disk }, output) => void output.write(await download(chain[0].source, Number(disk))),
    endDownload: async () => {},
  };
  return (source: string, folder: string, ...words: string[]) =>
    runOn(
      restore,
      ['100', '--vm', '7', '--source', source, '--format', 'raw', '--to', folder, ...words],
      stored,
      NO_ONED,
      'file',
      { engine, local: machine },
    );
}

const letters = async (source: string): Promise<Buffer> => Buffer.alloc(DISK_BYTES, source);

t.test('over the restore of another backup: no disk stands beside a template that is not its own', async (t) => {
  const over = async (t: Test, ...words: string[]) => {
    const folder = t.testdir();
    const template = join(folder, 'vm.template');
    const first = await backups(letters)('a0', folder);
    t.equal(first.code, 0, first.err);
    t.match(readFileSync(template, 'utf8'), '7-a0-disk-0');
    const broken = backups(async (source, disk) => {
      t.notOk(existsSync(template), 'gone before the first disk comes');
      if (disk === 1) throw new DriverError('unreachable', 'the server is gone');
      return letters(source);
    });
    const refused = await broken('b0', folder, ...words);
    t.match(refused, { code: 2, err: /differently: .*vm\.template/ });
    t.ok(existsSync(template), 'what is refused changes nothing');
    return { folder, template, broken };
  };
  t.test('all of it', async (t) => {
    const { folder, template, broken } = await over(t);
    t.equal((await broken('b0', folder, '--yes')).code, new DriverError('unreachable', '').exitCode);
    const begin = (disk: number) => readFileSync(join(folder, `disk.${disk}.raw`)).toString('latin1', 0, 1);
    t.strictSame([begin(0), begin(1)], ['b', 'a'], 'one disk is new, one is not');
    t.notOk(existsSync(template));
    const ended = await backups(letters)('b0', folder, '--yes');
    t.equal(ended.code, 0, ended.err);
    t.match(readFileSync(template, 'utf8'), '7-b0-disk-0');
    t.equal((await broken('b0', folder)).code, 0, 'its own template stays');
    t.match(readFileSync(template, 'utf8'), '7-b0-disk-0');
  });
  t.test('one disk of it, of which no template is made', async (t) => {
    const { folder, template, broken } = await over(t, '--disk', '0');
    t.equal((await broken('b0', folder, '--disk', '0', '--yes')).code, 0);
    t.notOk(existsSync(template));
  });
});

t.test('--format raw: the download and what it is converted to must both fit', async (t) => {
  const withFree = (freeBytes: number): Host => {
    const files = Object.assign(Object.create(local.files), {
      space: async () => ({ totalBytes: 2 ** 40, freeBytes }),
    });
    return Object.assign(Object.create(local), {
      files,
      run: local.run.bind(local),
      programs: local.programs.bind(local),
    });
  };
  // a qcow2 of 2 MiB that shows 1 MB: one is kept as raw, and then the other is there twice
  const folder = t.testdir();
  const restored = (freeMb: number) =>
    backups(letters, { machine: withFree(freeMb * 2 ** 20), sizeBytes: 2 * 2 ** 20 })('a0', folder);
  const { code, err } = await restored(3.5);
  t.equal(code, new DriverError('noSpace', '').exitCode);
  t.match(err, /has 3\.5 MiB free, the disks and their conversion to raw need 4\.0 MiB.*--format qcow2.*--disk/);
  t.strictSame(readdirSync(folder), [], 'nothing is begun');
  t.notMatch((await restored(4)).err, 'need');

  const mb = 2 ** 20;
  const disk = (format: 'qcow2' | 'raw' | 'stored', sizeMb: number | undefined, ...virtualSizesMb: number[]) => ({
    ...{ format, expectedBytes: sizeMb === undefined ? undefined : sizeMb * mb, virtualSizesMb },
  });
  t.equal(roomNeeded([disk('qcow2', 10, 100), disk('stored', 5)]), 15 * mb, 'nothing is converted');
  t.equal(roomNeeded([disk('raw', 10, 100)]), 20 * mb, 'a raw has holes');
  t.equal(roomNeeded([disk('raw', 300, 90, 100)]), 400 * mb, 'a chain that wrote the same place often');
  t.equal(roomNeeded([disk('raw', 10)]), 20 * mb, 'whose virtual size is not known');
  t.equal(roomNeeded([disk('raw', 100, 100)]), 100 * mb, 'it is stored as raw');
  t.equal(roomNeeded([disk('raw', 30, 90), disk('raw', 10, 90)]), 60 * mb, 'one after the other');
  t.equal(roomNeeded([disk('raw', undefined, 90)]), 0, 'not known');
});

t.test('what is shown: the steps of the engine, and then the fetching, with what is known of its end', async (t) => {
  const shown = async (wanted: Partial<WantedDisk>, download: Engine['download']): Promise<unknown[]> => {
    const told: unknown[] = [];
    const screen = {
      step: (purpose: string) => told.push(purpose),
      transfer: (done: number, total: number) => told.push([done, total]),
    };
    const disk = { name: 'disk.0.qcow2', format: 'stored', links: [], virtualSizesMb: [], ...wanted };
    const means = {
      ...{ folder: t.testdir(), local, screen, signal: new AbortController().signal, record: { note: async () => {} } },
      ...{ driver: { parseUrl: () => ({}) }, engine: { download, endDownload: async () => {} } },
    };
    await restoreDisk(disk as unknown as WantedDisk, means as unknown as DiskMeans);
    return told;
  };
  const send: Engine['download'] = async (_, output) => void output.write('abcd');
  const [step, ...rest] = await shown({ sentBytes: 4 }, send);
  t.equal(step, 'restore disk.0.qcow2');
  t.strictSame(rest, ['fetch disk.0.qcow2', [4, 4]]);
  t.strictSame((await shown({}, send)).at(-1), [4, 0], 'an engine that has merged tells more itself');
});
