import { existsSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';
import { StockRsyncDriver } from '../conformance/stock-rsync-driver';
import { difference } from '../helpers/disk';
import { type BackupsWorld, GONE, isStage } from './backups-world';

interface Finding {
  readonly disk: number | null;
  readonly what: string;
  readonly neededBy: readonly string[];
}

/** Damage of plain folders, file by file. */
export function damageFolders(t: Test, b: BackupsWorld): void {
  const { w, chain, story, at, call, ok, listed, putBack } = b;
  const [first, second, third, last] = chain.map(({ source }) => source) as [string, string, string, string];
  const of = (source: string, name: string): string => join(w.datastore, '1', source, name);
  const verified = async (...words: string[]): Promise<Finding[]> => {
    const { code, stdout, stderr } = await b.run(call('verify', '--json', '--vm', '1', ...words), GONE);
    if (code !== 1) throw new Error(`exit code ${code}: ${stderr}`);
    return JSON.parse(stdout).findings;
  };

  t.test('one increment has lost a disk, its vm.xml and a byte of another disk', async (t) => {
    for (const name of ['disk.1.1', 'vm.xml']) rmSync(of(second, name));
    const one = (...words: string[]): string[] => call('restore', '--vm', '1', ...words);
    const own = (await listed('--vm', '1')).filter(({ source }) => source !== b.foreign);
    const inherited = story.chain
      .slice(2, 4)
      .map(({ disks }) => (disks.has(1) ? 'increment 1: disk.1.1 is gone' : null));
    t.strictSame(
      own.map(({ problem }) => problem),
      [null, 'disk.1.1 is gone', ...inherited],
    );
    const { urls, restore } = JSON.parse((await ok(call('show', third, '--json'))).stdout);
    t.strictSame(Object.keys(urls), ['0', 'tpm'], 'URLs of the disks that can be restored');
    t.match(restore, `--source ${third} --disk 0 --to DIR`);
    await ok(one('--source', third, '--disk', '0', '--to', at('part')));
    t.equal(difference(join(at('part'), 'disk.0.qcow2'), story.chain[2].disks.get(0) ?? ''), undefined);
    const refused = await b.run(one('--source', third, '--to', at('all')), GONE);
    t.equal(refused.code, 11);
    t.match(refused.stderr, /increment 1: disk\.1\.1 is gone\. Of it, disk 0 can: --disk 0\. Before it, /);
    t.equal((await b.run(one('--source', third, '--disk', '1', '--to', at('all')), GONE)).code, 11);
    const bare = await b.run(one('--source', second, '--disk', '0', '--to', at('bare')), GONE);
    t.equal(bare.code, 1, 'what is lost beside the disks is told');
    t.match(bare.stderr, /vm\.xml does\s+not\s+exist/);
    t.equal(difference(join(at('bare'), 'disk.0.qcow2'), story.chain[1].disks.get(0) ?? ''), undefined);
    flip(of(second, 'disk.0.1'), statSync(of(second, 'disk.0.1')).size - 70_000);
    const changed = await b.run(one('--source', third, '--disk', '0', '--to', at('changed')), GONE);
    t.equal(changed.code, 11, 'what it is merged of is compared with the manifests');
    t.match(
      changed.stderr,
      new RegExp(`backup ${second}, which disk.0.qcow2 needs, is damaged: disk.0.1: its checksum`),
    );
    t.notOk(existsSync(join(at('changed'), 'disk.0.qcow2')), 'nothing was kept');
    await ok(one('--source', third, '--disk', '0', '--unchecked', '--to', at('changed')));
    const later = (disk: number): string[] =>
      [third, last].filter((_, index) => story.chain[index + 2]?.disks.has(disk));
    t.strictSame(
      (await verified('--full')).map(({ disk, what, neededBy }) => ({ disk, what, neededBy })).sort(byWhat),
      [
        { disk: 0, what: 'disk.0.1: its checksum is not that of the manifest', neededBy: later(0) },
        { disk: 1, what: 'disk.1.1 is gone', neededBy: later(1) },
        { disk: null, what: 'vm.xml is gone', neededBy: [] },
      ],
    );
    putBack();
  });

  t.test('the header of an increment is damaged', async (t) => {
    flip(of(second, 'disk.0.1'), 0);
    const damaged = async () => (await verified('--full')).filter(({ disk }) => disk === 0).map(({ what }) => what);
    t.strictSame(await damaged(), ['disk.0.1: its checksum is not that of the manifest']);
    // Where it could be one that the stock driver merged, by its size or because nothing is below it, its form is looked at.
    const { size } = statSync(of(second, 'disk.0.1'));
    truncateSync(of(second, 'disk.0.1'), size - 65_536);
    t.strictSame(await damaged(), [`disk.0.1 has ${size - 65_536} bytes, not ${size}`], 'cut short, too');
    putBack();
    flip(of(second, 'disk.0.1'), 0);
    rmSync(join(w.datastore, '1', first), { recursive: true });
    t.strictSame(await damaged(), ['disk.0.1: its checksum is not that of the manifest'], 'the first of what is left');
    putBack();
  });

  t.test('the stock driver flattened a chain of ours', async (t) => {
    new StockRsyncDriver(w.datastore).flatten(1, chain, 2);
    const own = (await listed('--vm', '1')).filter(({ source }) => source !== b.foreign);
    t.strictSame(
      own.map(({ incrementId, type, problem }) => [incrementId, type, problem]),
      [
        [2, 'FULL', null],
        [3, 'INCREMENT', null],
      ],
    );
    await ok(call('verify', '--vm', '1', '--full'));
    for (const [source, stage] of [[third, story.chain[2]] as const, [last, story.chain[3]] as const]) {
      const { stdout } = await ok(call('restore', '--vm', '1', '--source', source, '--to', at(`stock-${source}`)));
      isStage(t, at(`stock-${source}`), stage);
      // what was merged into has no checksum any more that could be compared
      if (source === last) t.match(stdout, /disk\.0\.qcow2 .*sha256 of 1 of 2 in its chain/);
      t.notMatch(stdout, 'sha256 of its chain');
    }
    putBack();
  });

  t.test('a manifest that is none', async (t) => {
    writeFileSync(of(second, 'manifest.json'), '{"version":1,');
    const own = await listed('--vm', '1');
    t.ok(own.every(({ problem }) => problem === null));
    t.match((await ok(call('list', '--vm', '1'))).stdout.replace(/\s+/g, ' '), /ok, but manifest\.json of/);
    const { stdout } = await ok(call('restore', '--vm', '1', '--source', last, '--to', at('no-manifest')));
    t.match(stdout, /disk\.0\.qcow2 .*sha256 of 3 of 4 in its chain/, 'what was compared');
    isStage(t, at('no-manifest'), story.chain[3]);
    const told = await b.run(call('restore', '--vm', '1', '--source', second, '--to', at('own')), GONE);
    t.equal(told.code, 1);
    t.match(told.stderr.replace(/\s+/g, ' '), /manifest\.json of backup .* is no manifest/);
    isStage(t, at('own'), story.chain[1]);
    t.match(await verified(), [{ disk: null, what: /is no manifest/, neededBy: [] }]);
    putBack();
  });
}

function flip(path: string, at: number): void {
  const content = readFileSync(path);
  content[at] = (content[at] ?? 0) ^ 1;
  writeFileSync(path, content);
}

function byWhat(one: Finding, other: Finding): number {
  return one.what < other.what ? -1 : 1;
}
