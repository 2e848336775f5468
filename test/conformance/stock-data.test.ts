import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import t, { type Test } from 'tap';
import { difference } from '../helpers/disk';
import { startFrontEnd } from '../helpers/front-end';
import { withText } from '../helpers/messages';
import { quickenKey } from '../helpers/quick-key';
import { type Known, StockDriver } from './stock-driver';
import { builtScripts } from './stock-scripts';
import { type Stage, writeStory } from './story';

t.test('data of the stock driver', async (t) => {
  const story = writeStory();
  t.teardown(() => story.close());
  const w = await startFrontEnd();
  t.teardown(() => w.stop());
  w.serveDatastore();
  const staging = (vmId: number): string => join(w.staging(vmId), 'backup');
  const stock = (name: string): StockDriver =>
    new StockDriver(join(w.datastore, name), w.password, join(w.folder, 'stock'));

  // One empty repository is made, and opened cheaply; each test copies it.
  const blank = join(w.folder, 'blank');
  new StockDriver(blank, w.password, join(w.folder, 'stock')).init();
  quickenKey(blank, w.password);
  const fresh = (name: string): StockDriver => {
    rmSync(join(w.datastore, name), { recursive: true, force: true });
    mkdirSync(w.datastore, { recursive: true });
    execFileSync('cp', ['-a', blank, join(w.datastore, name)]);
    return stock(name);
  };
  const begin = (driver: StockDriver, stages: readonly Stage[], vmId = 1): Known[] =>
    stages.map((stage) => ({ id: stage.incrementId, source: driver.backUpCopy(vmId, stage.folder, staging(vmId)) }));
  const ours = builtScripts(w);

  t.test(
    'a repository that opens without the quotes of the password only, as the stock driver leaves them out',
    async (t) => {
      const path = join(w.datastore, '8');
      const driver = new StockDriver(path, w.password.replace(/["']/g, ''), join(w.folder, 'stock'));
      mkdirSync(w.datastore, { recursive: true });
      driver.init();
      quickenKey(path, w.password.replace(/["']/g, ''));
      const chain = begin(driver, story.chain.slice(0, 1), 8);
      await ours.same(t, await ours.ls(chain, { vmId: 8 }), story.chain[0] as Stage);
      const source = await ours.backUp(story.chain[1] as Stage, 8);
      await ours.rm([...chain, { id: 1, source }], { vmId: 8 });
      t.equal(driver.restic([], 'snapshots', '--json').toString().trim(), '[]', 'ours are in the same repository');
    },
  );

  t.test('a chain is listed, measured, restored, extended, flattened and removed', async (t) => {
    const driver = fresh('1');
    const chain = begin(driver, story.chain.slice(0, 4));
    const asItWas = async (stage: Stage): Promise<void> => {
      const urls = await ours.ls(chain, { increment: stage.incrementId });
      const upTo = chain.filter(({ id }) => id <= stage.incrementId).map(({ id, source }) => `${id}:${source}`);
      const expected = [...stage.disks.keys()].map((id) => [id, `disk.${id}.${stage.incrementId}`] as const);
      const named = [...expected, ...(stage.tpm === undefined ? [] : [['tpm', 'disk.tpm.0'] as const])];
      const all = named.map(([key, name]) => [key, `restic://100//${upTo.join(',')}${staging(1)}/${name}`]);
      t.strictSame(urls, Object.fromEntries(all), `ls -i ${stage.incrementId} answers in the stock form`);
      await ours.same(t, urls, stage);
      for (const id of stage.disks.keys()) t.equal(await ours.stat(urls[id] ?? ''), sizeMb(stage, id), 'stat');
    };
    await Promise.all(story.chain.slice(0, 4).map(asItWas));
    const more = [...chain, { id: 4, source: await ours.backUp(story.chain[4], 1) }];
    await ours.same(t, await ours.ls(more), story.chain[4]);
    await readableByStock(t, driver, more, story.chain[4]);
    const restored = join(w.folder, 'restored');
    driver.restic([], 'restore', more[4]?.source ?? '', `--target=${restored}`, `--include=${staging(1)}/disk.0.4`);
    const [laid, back] = [story.chain[4].folder, join(restored, staging(1))].map((path) =>
      readFileSync(join(path, 'disk.0.4')),
    );
    t.ok(laid?.equals(back ?? Buffer.alloc(0)), 'restic alone restores the paths that were backed up');

    const two = await ours.flatten(more, 2);
    t.strictSame(
      two.map(({ id }) => id),
      [3, 4],
    );
    await ours.same(t, await ours.ls(two, { increment: 3 }), story.chain[3]);
    await ours.same(t, await ours.ls(two), story.chain[4]);
    await readableByStock(t, driver, two, story.chain[4]);
    await readableByStock(t, driver, two.slice(0, 1), story.chain[3]);
    t.equal(driver.snapshots().length, 2);

    await ours.rm(two);
    t.strictSame(driver.snapshots(), []);
    await ours.rm(two);
  });

  t.test('a chain that we began is extended and flattened by the stock driver', async (t) => {
    const driver = fresh('1');
    const begun: Known[] = [];
    for (const stage of story.chain.slice(0, 3))
      begun.push({ id: stage.incrementId, source: await ours.backUp(stage, 1) });
    const [, , middle, last, next] = story.chain;
    const chain = [...begun, ...begin(driver, [last])];
    await ours.same(t, await ours.ls(chain), last);
    await readableByStock(t, driver, chain, last);

    const two = driver.flatten(1, chain, 2);
    await ours.same(t, await ours.ls(two, { increment: 2 }), { ...middle, tpm: undefined });
    await ours.same(t, await ours.ls(two), last);
    t.equal(await ours.stat((await ours.ls(two, { increment: 2 }))[0] ?? ''), '12', 'stat after the stock flatten');
    const three = [...two, { id: 4, source: await ours.backUp(next, 1) }];
    const one = await ours.flatten(three, 1);
    await ours.same(t, await ours.ls(one), next);
    await readableByStock(t, driver, one, next);
    const onward = await ours.flatten([...one, ...begin(driver, [{ ...next, incrementId: 5 }])], 1);
    t.equal(onward.length, 1, 'and again after the stock driver has extended what we flattened');
    await ours.rm(onward);
    t.strictSame(driver.snapshots(), []);
  });

  t.test('snapshots that were made of the whole folder', async (t) => {
    const driver = fresh('1');
    const chain = story.chain
      .slice(0, 3)
      .map(({ incrementId: id, folder }) => ({ id, source: driver.backUpCopy(1, folder, staging(1), 'folder') }));
    for (const stage of [story.chain[0], story.chain[2]]) {
      const urls = await ours.ls(chain, { increment: stage.incrementId });
      await ours.same(t, urls, stage);
      t.equal(await ours.stat(urls[0] ?? ''), sizeMb(stage, 0));
    }
    const one = await ours.flatten(chain, 1);
    await ours.same(t, await ours.ls(one), story.chain[2]);
    await readableByStock(t, driver, one, story.chain[2]);
    await ours.rm(one);
    t.strictSame(driver.snapshots(), []);
  });

  t.test('disks from before increments had numbers', async (t) => {
    const driver = fresh('1');
    const old = join(w.folder, 'old');
    cpSync(story.chain[0].folder, old, { recursive: true });
    renameSync(join(old, 'disk.0.0'), join(old, 'disk.0'));
    const chain = [{ id: 0, source: driver.backUpCopy(1, old, staging(1)) }];
    const withoutList = {
      edit: (text: string) =>
        withText(text.replace(/<INCREMENT>.*?<\/INCREMENT>/gs, ''), 'IMAGE', 'SOURCE', chain[0]?.source ?? ''),
    };
    const urls = await ours.ls(chain, withoutList);
    t.equal(urls[0], `restic://100//0:${chain[0]?.source}${staging(1)}/disk.0`);
    await ours.same(t, urls, story.chain[0]);
    t.equal(await ours.stat(urls[0] ?? ''), '8');
    const more = [...chain, { id: 1, source: await ours.backUp(story.chain[1], 1) }];
    await ours.same(t, await ours.ls(more), story.chain[1]);
    const one = await ours.flatten(more, 1);
    await ours.same(t, await ours.ls(one), story.chain[1]);
    await readableByStock(t, driver, one, story.chain[1]);
    await ours.rm(one);
  });

  t.test('the repository of a job', async (t) => {
    const driver = fresh('job_0');
    const chain = begin(driver, story.chain.slice(0, 3));
    const foreign = begin(driver, [story.foreign]);
    const neighbour = begin(driver, [story.neighbour[0]], 10);
    const urls = await ours.ls(chain, { job: 0 });
    t.match(urls[0], /^restic:\/\/100\/0\/0:[0-9a-f]{8},1:[0-9a-f]{8},2:[0-9a-f]{8}\//);
    await ours.same(t, urls, story.chain[2]);
    t.equal(await ours.stat(urls[0] ?? ''), '12');
    const two = await ours.flatten([...chain, { id: 3, source: await ours.backUp(story.chain[3], 1, 0) }], 2, {
      job: 0,
    });
    await ours.same(t, await ours.ls(two, { job: 0 }), story.chain[3]);
    await readableByStock(t, driver, two, story.chain[3], 0);
    await ours.rm(two, { job: 0 });
    t.equal(driver.snapshots().length, 2, 'only what is not of that image is left');
    await ours.same(t, await ours.ls(foreign, { job: 0 }), story.foreign);
    await ours.same(t, await ours.ls(neighbour, { job: 0, vmId: 10 }), story.neighbour[0]);
  });

  t.test('exports of Ceph', async (t) => {
    const driver = fresh('1');
    const names = ['disk.0.rbd2', 'disk.0.1.rbdiff', 'disk.0.2.rbdiff'];
    const lay = (id: number, folder: string): void => {
      rmSync(folder, { recursive: true, force: true });
      mkdirSync(folder, { recursive: true });
      writeFileSync(join(folder, names[id] ?? ''), `export ${id}\n`);
      cpSync(join(story.chain[id as 0].folder, 'vm.xml'), join(folder, 'vm.xml'));
    };
    const chain = [0, 1].map((id) => {
      lay(id, join(w.folder, `rbd${id}`));
      return { id, source: driver.backUpCopy(1, join(w.folder, `rbd${id}`), staging(1)) };
    });
    const rbd = { edit: (text: string) => withText(text, 'IMAGE', 'FORMAT', 'rbd') };
    lay(2, staging(1));
    const [source = '', , format] = await ours.backUpLaid([0], 2, 1);
    t.equal(format, 'rbd');
    const more = [...chain, { id: 2, source }];
    const holds = async (known: readonly Known[], what: string): Promise<void> => {
      const urls = await ours.ls(known, rbd);
      t.match(urls[0], /^restic\+rbd:\/\/100\/\//);
      const file = await ours.download(urls[0] ?? '');
      const listed = execFileSync('tar', ['-tzf', file], { encoding: 'utf8' }).trim().split('\n');
      t.strictSame(listed.sort(), [...names].sort(), `${what}: the exports lie flat in an archive`);
      for (const [id, name] of names.entries())
        t.equal(execFileSync('tar', ['-xzOf', file, name], { encoding: 'utf8' }), `export ${id}\n`);
    };
    await holds(more, 'before a flatten');
    const one = await ours.flatten(more, 1, rbd);
    await holds(one, 'after a flatten');
    t.equal(driver.snapshots().length, 1);
    await ours.rm(one, rbd);
    t.strictSame(driver.snapshots(), []);
  });

  /** What the stock driver needs of a backup: paths, tag, times in the order of the chain; and its own downloader's result. */
  async function readableByStock(t: Test, driver: StockDriver, chain: readonly Known[], stage: Stage, job?: number) {
    const found = driver.snapshots(...chain.map(({ source }) => source));
    t.strictSame(
      found.map(({ id }) => id.slice(0, 8)),
      chain.map(({ source }) => source),
      'times rise along the chain',
    );
    for (const { tags } of found) t.ok(tags.includes('one-1'), 'the tag names the VM');
    const { id: last, source } = chain[chain.length - 1] as Known;
    const paths = found[found.length - 1]?.paths ?? [];
    const disks = paths.filter((path) => /^disk\.\d/.test(basename(path)));
    t.strictSame(
      disks.map((path) => basename(path)).sort(),
      [...stage.disks.keys()].map((id) => `disk.${id}.${last}`),
    );
    const vmXml = paths.find((path) => basename(path) === 'vm.xml') ?? '';
    t.match(vmXml, /\/1\/backup\/vm\.xml$/);
    t.ok(driver.dump(source, vmXml).equals(stage.vmXml), 'vm.xml is as it was');
    for (const [id, raw] of stage.disks) {
      const path = disks.find((one) => basename(one).startsWith(`disk.${id}.`)) ?? '';
      const list = chain.map((one) => `${one.id}:${one.source}`).join(',');
      const file = driver.download(`restic://100/${job ?? ''}/${list}${path}`);
      t.equal(difference(file, raw), undefined, `the stock downloader gets disk ${id} at ${stage.incrementId}`);
      rmSync(dirname(file), { recursive: true });
    }
  }
});

function sizeMb(stage: Stage, disk: number): string {
  return String(statSync(stage.disks.get(disk) ?? '').size / 2 ** 20);
}
