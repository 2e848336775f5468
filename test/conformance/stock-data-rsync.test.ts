import { execFileSync } from 'node:child_process';
import { cpSync, readdirSync, readFileSync, renameSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { difference } from '../helpers/disk';
import { startFrontEnd } from '../helpers/front-end';
import { withText } from '../helpers/messages';
import type { Known } from './stock-driver';
import { StockRsyncDriver } from './stock-rsync-driver';
import { builtScripts } from './stock-scripts';
import { type Stage, writeStory } from './story';

t.test('data of the stock rsync driver', async (t) => {
  const story = writeStory();
  t.teardown(() => story.close());
  const w = await startFrontEnd({ driver: 'rsync' });
  t.teardown(() => w.stop());
  w.serveDatastore();
  const driver = new StockRsyncDriver(w.datastore);
  const begin = (stages: readonly Stage[], vmId = 1): Known[] =>
    stages.map(({ incrementId: id, folder }) => ({ id, source: driver.backUp(vmId, folder) }));
  const ours = builtScripts(w);
  t.beforeEach(() => rmSync(w.datastore, { recursive: true, force: true }));

  /** What the stock driver needs of a backup: where it is, what it is called; and its own downloader's result. */
  const readableByStock = (t: Test, chain: readonly Known[], stage: Stage): void => {
    const { id: last, source } = chain[chain.length - 1] as Known;
    const folder = driver.folder(1, source);
    const disks = readdirSync(folder).filter((name) => /^disk\.\d/.test(name));
    t.strictSame(
      disks.sort(),
      [...stage.disks.keys()].map((id) => `disk.${id}.${last}`),
    );
    t.ok(readFileSync(join(folder, 'vm.xml')).equals(stage.vmXml), 'vm.xml is as it was');
    const list = chain.map((one) => `${one.id}:${one.source}`).join(',');
    for (const [id, raw] of stage.disks) {
      const file = driver.download(`rsync://100//${list}${folder}/disk.${id}.${last}`);
      t.equal(difference(file, raw), undefined, `the stock downloader gets disk ${id} at ${stage.incrementId}`);
    }
  };

  t.test('a chain is listed, measured, restored, extended, flattened and removed', async (t) => {
    const chain = begin(story.chain.slice(0, 4));
    for (const stage of story.chain.slice(0, 4)) {
      const urls = await ours.ls(chain, { increment: stage.incrementId });
      const upTo = chain.filter(({ id }) => id <= stage.incrementId);
      const list = upTo.map(({ id, source }) => `${id}:${source}`).join(',');
      const folder = driver.folder(1, upTo.at(-1)?.source ?? '');
      const expected = [...stage.disks.keys()].map((id) => [id, `disk.${id}.${stage.incrementId}`] as const);
      const named = [...expected, ...(stage.tpm === undefined ? [] : [['tpm', 'disk.tpm.0'] as const])];
      const all = named.map(([key, name]) => [key, `rsync://100//${list}${folder}/${name}`]);
      t.strictSame(urls, Object.fromEntries(all), `ls -i ${stage.incrementId} answers in the stock form`);
      await ours.same(t, urls, stage);
      for (const id of stage.disks.keys()) t.equal(await ours.stat(urls[id] ?? ''), sizeMb(stage, id), 'stat');
    }
    const more = [...chain, { id: 4, source: await ours.backUp(story.chain[4], 1) }];
    await ours.same(t, await ours.ls(more), story.chain[4]);
    readableByStock(t, more, story.chain[4]);

    const two = await ours.flatten(more, 2);
    t.strictSame(
      two.map(({ id }) => id),
      [3, 4],
    );
    await ours.same(t, await ours.ls(two, { increment: 3 }), story.chain[3]);
    await ours.same(t, await ours.ls(two), story.chain[4]);
    readableByStock(t, two, story.chain[4]);
    readableByStock(t, two.slice(0, 1), story.chain[3]);
    t.equal(driver.stored(1).length, 2);

    await ours.rm(two);
    t.strictSame(driver.stored(1), []);
    await ours.rm(two);
  });

  t.test('a chain that we began is extended and flattened by the stock driver', async (t) => {
    const begun: Known[] = [];
    for (const stage of story.chain.slice(0, 3))
      begun.push({ id: stage.incrementId, source: await ours.backUp(stage, 1) });
    const [, , middle, last, next] = story.chain;
    const chain = [...begun, ...begin([last])];
    await ours.same(t, await ours.ls(chain), last);
    readableByStock(t, chain, last);

    const two = driver.flatten(1, chain, 2);
    await ours.same(t, await ours.ls(two, { increment: 2 }), middle);
    await ours.same(t, await ours.ls(two), last);
    t.equal(await ours.stat((await ours.ls(two, { increment: 2 }))[0] ?? ''), '12', 'stat after the stock flatten');
    const three = [...two, { id: 4, source: await ours.backUp(next, 1) }];
    const one = await ours.flatten(three, 1);
    await ours.same(t, await ours.ls(one), next);
    readableByStock(t, one, next);
    const onward = await ours.flatten([...one, ...begin([{ ...next, incrementId: 5 }])], 1);
    t.equal(onward.length, 1, 'and again after the stock driver has extended what we flattened');
    await ours.rm(onward);
    t.strictSame(driver.stored(1), []);
  });

  t.test('disks from before increments had numbers', async (t) => {
    const old = join(w.folder, 'old');
    cpSync(story.chain[0].folder, old, { recursive: true });
    renameSync(join(old, 'disk.0.0'), join(old, 'disk.0'));
    const chain = [{ id: 0, source: driver.backUp(1, old) }];
    const withoutList = {
      edit: (text: string) =>
        withText(text.replace(/<INCREMENT>.*?<\/INCREMENT>/gs, ''), 'IMAGE', 'SOURCE', chain[0]?.source ?? ''),
    };
    const urls = await ours.ls(chain, withoutList);
    t.equal(urls[0], `rsync://100//0:${chain[0]?.source}${driver.folder(1, chain[0]?.source ?? '')}/disk.0`);
    await ours.same(t, urls, story.chain[0]);
    t.equal(await ours.stat(urls[0] ?? ''), sizeMb(story.chain[0], 0));
    const more = [...chain, { id: 1, source: driver.backUp(1, story.chain[1].folder) }];
    const one = await ours.flatten(more, 1);
    await ours.same(t, await ours.ls(one), story.chain[1]);
    await ours.rm(one);
    t.strictSame(driver.stored(1), []);
  });

  t.test('a VM in a backup job, beside another one', async (t) => {
    const other = begin([story.neighbour[0]], 10);
    const chain = begin(story.chain.slice(0, 2));
    const urls = await ours.ls(chain, { job: 7 });
    t.match(urls[0], /^rsync:\/\/100\/7\//);
    await ours.same(t, urls, story.chain[1]);
    const more = [...chain, { id: 2, source: await ours.backUp(story.chain[2], 1, 7) }];
    const one = await ours.flatten(more, 1, { job: 7 });
    await ours.same(t, await ours.ls(one, { job: 7 }), story.chain[2]);
    await ours.rm(one, { job: 7 });
    t.strictSame(driver.stored(1), []);
    await ours.same(t, await ours.ls(other, { vmId: 10 }), story.neighbour[0]);
  });

  t.test('a long chain', async (t) => {
    const [first, ...rest] = story.chain.slice(0, 4);
    const empty = join(w.folder, 'empty');
    const chain = begin([first as Stage]);
    for (let id = 1; id <= 40; id++) {
      rmSync(empty, { recursive: true, force: true });
      cpSync(first?.folder ?? '', empty, { recursive: true });
      rmSync(join(empty, 'disk.0.0'));
      execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', join(empty, `disk.0.${id}`), '8M']);
      chain.push({ id, source: driver.backUp(1, empty) });
    }
    t.equal(rest.length, 3);
    await ours.same(t, await ours.ls(chain), first as Stage);
    const two = await ours.flatten(chain, 2);
    await ours.same(t, await ours.ls(two), first as Stage);
    await ours.same(t, await ours.ls(two, { increment: 39 }), first as Stage);
    t.equal(driver.stored(1).length, 2);
  });

  t.test('exports of rbd: listed, extended, downloaded as an archive, flattened and removed', async (t) => {
    const names = ['disk.0.rbd2', 'disk.0.1.rbdiff', 'disk.0.2.rbdiff'];
    const lay = (id: number, folder: string): void => {
      rmSync(folder, { recursive: true, force: true });
      cpSync(story.chain[0].folder, folder, { recursive: true });
      for (const name of ['disk.0.0', 'disk.tpm.0']) rmSync(join(folder, name));
      writeFileSync(join(folder, names[id] ?? ''), `export ${id}\n`);
    };
    const chain = [0, 1].map((id) => {
      lay(id, join(w.folder, `rbd${id}`));
      return { id, source: driver.backUp(1, join(w.folder, `rbd${id}`)) };
    });
    const rbd = { edit: (text: string) => withText(text, 'IMAGE', 'FORMAT', 'rbd') };
    lay(2, join(w.staging(1), 'backup'));
    const [source = '', , format] = await ours.backUpLaid([0], 2, 1);
    t.equal(format, 'rbd');
    const more = [...chain, { id: 2, source }];
    const holds = async (known: readonly Known[], what: string): Promise<void> => {
      const urls = await ours.ls(known, rbd);
      t.match(urls[0], /^rsync\+rbd:\/\/100\/\//);
      const file = await ours.download(urls[0] ?? '');
      const listed = execFileSync('tar', ['-tzf', file], { encoding: 'utf8' }).trim().split('\n');
      t.strictSame(listed, names, `${what}: the exports lie flat in an archive, in their order`);
      for (const [id, name] of names.entries())
        t.equal(execFileSync('tar', ['-xzOf', file, name], { encoding: 'utf8' }), `export ${id}\n`);
    };
    await holds(more, 'before a flatten');
    const one = await ours.flatten(more, 1, rbd);
    await holds(one, 'after a flatten');
    t.equal(driver.stored(1).length, 1);
    await ours.rm(one, rbd);
    t.strictSame(driver.stored(1), []);
  });

  t.test('nothing that the stock driver left half done is taken for ours, nor touched', async (t) => {
    const chain = begin(story.chain.slice(0, 2));
    const partial = driver.backUp(1, story.chain[2].folder);
    rmSync(join(driver.folder(1, partial), 'vm.xml'));
    utimesSync(driver.folder(1, partial), 1, 1);
    const one = await ours.flatten(chain, 1);
    await ours.same(t, await ours.ls(one), story.chain[1]);
    await ours.rm(one);
    t.strictSame(driver.stored(1), [partial], 'a folder that no image names stays');
  });
});

function sizeMb(stage: Stage, disk: number): string {
  return String(statSync(stage.disks.get(disk) ?? '').size / 2 ** 20);
}
