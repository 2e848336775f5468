import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';
import type { Running } from '../helpers/front-end';
import { incrementsXml, withContent, withText } from '../helpers/messages';
import { flipOne, isStored, leaveBehind, leaveMerged, lose } from './backups-damage';
import { age, killUnanswered } from './backups-orphans';
import { type BackupsWorld, GONE, isStage } from './backups-world';
import { struckAt } from './struck';

interface Found {
  readonly vm: number;
  readonly increment: number;
  readonly disk: number | null;
  readonly source: string | null;
  readonly neededBy: readonly string[];
}

/** What backupctl finds out of damaged backups, and what it removes. */
export function keepBackups(t: Test, b: BackupsWorld): void {
  const { w, chain, story, at, call, ok, listed, putBack } = b;
  const [first, second, third, last] = chain.map(({ source }) => source) as [string, string, string, string];
  const { driver } = w;
  const standsAlone = driver === 'zfs';

  t.test('verify: all is well', async (t) => {
    const { stdout } = await ok(call('verify', '--full'));
    t.match(stdout, /^ 1 .* 5 +ok$/m);
    t.match(stdout, new RegExp(`^10 .* ${b.neighbour.length} +ok$`, 'm'));
    const sampled = await ok(call('verify', '--vm', '10', '--sample', '50%', '--seed', '3', '--bwlimit', '50000'));
    t.match(sampled.stderr, 'reading 50% of the data, part of seed 3');
    t.equal((await b.run(call('verify', '--sample', '0%'), GONE)).code, 2);
  });

  t.test('verify: one byte', async (t) => {
    const { damaged, mend } = flipOne(b);
    const { code, stdout } = await b.run(call('verify', '--full', '--json'), GONE);
    t.equal(code, 1);
    const { findings } = JSON.parse(stdout) as { findings: Found[] };
    const told = findings.map(({ vm, increment, disk, source }) => `${vm} ${increment} ${disk} ${source}`);
    t.strictSame(
      told.sort(),
      damaged
        .map((one) => `1 ${chain.findIndex(({ source }) => source === one.source)} ${one.disk} ${one.source}`)
        .sort(),
    );
    if (!standsAlone)
      t.match((await b.run(call('verify', '--full', '--vm', '10'), GONE)).code, 0, 'no other VM is blamed');
    t.ok(damaged.length > 0);
    mend();
  });

  t.test('verify: goes on after a kill', async (t) => {
    const state = at('state.json');
    // all VMs: restic checks a repository at once, and between two of them there is time to kill
    const words = call('verify', '--full', '--state', state);
    const slowly = (): Running => b.start([...words, '--bwlimit', '2000']); // so that it is long between the first and the last
    await struckAt('the state file', slowly, () => existsSync(state), 'SIGKILL');
    const done = Object.keys(JSON.parse(readFileSync(state, 'utf8')).done);
    t.ok(done.length > 0);
    const kept = readFileSync(state, 'utf8');
    writeFileSync(state, kept.replace(/"notedMs":[0-9]+/, `"notedMs":${Date.now() - 25 * 3_600_000}`));
    t.notMatch((await ok([...words, '--verbose'])).stderr, /going on|done before/, 'not after a day');
    writeFileSync(state, kept);
    const ended = await ok([...words, '--verbose']);
    t.match(ended.stderr, 'going on with the run that was interrupted');
    t.equal(ended.stderr.match(/: done before$/gm)?.length, done.length);
    t.notOk(existsSync(state), 'the next run begins anew');
  });

  t.test('a backup is gone', async (t) => {
    lose(b, second);
    const own = (await listed('--vm', '1')).filter(({ source }) => source !== b.foreign);
    t.strictSame(
      own.map(({ incrementId, problem }) => [incrementId, problem]),
      [
        [0, null],
        [2, standsAlone ? null : 'increment 1 is gone'],
        [3, standsAlone ? null : 'increment 1 is gone'],
      ],
    );
    const { code, stdout } = await b.run(call('verify', '--json', '--vm', '1'), GONE);
    t.equal(code, 1);
    const neededBy = standsAlone ? [] : [third, last];
    t.match(JSON.parse(stdout).findings, [{ vm: 1, increment: 1, what: 'it is gone, with disk 0, 1', neededBy }]);
    t.equal(JSON.parse(stdout).findings.length, 1, 'nothing else is blamed');
    if (standsAlone) {
      // nothing of the others tells that there was an older or a newer one
      for (const source of [first, b.foreign]) lose(b, source);
      const verified = async (): Promise<Found[]> => {
        return JSON.parse((await b.run(call('verify', '--json', '--vm', '1'), GONE)).stdout).findings;
      };
      const told = (await verified()).map(({ increment, source }) => `${increment} ${source}`);
      t.strictSame(told.sort(), [`0 ${first}`, `0 ${b.foreign}`, `1 ${second}`].sort());
      await b.ours.rm([{ id: 0, source: b.foreign }], { vmId: 1 });
      t.equal((await verified()).length, 2, 'what was removed as oned does it is not missed');
      w.machine?.shSync(`echo x >${w.datastore}/.backups/1/${first}`);
      const damaged = (await verified()).map(({ increment, source }) => `${increment} ${source}`);
      t.strictSame(damaged.sort(), [`1 ${second}`, `null ${first}`], 'by its name');
      w.machine?.shSync(`chmod 0 ${w.datastore}/.backups`);
      const denied = await b.run(call('verify', '--json', '--vm', '1'), GONE);
      t.equal(denied.code, 9);
      t.match(JSON.parse(denied.stdout), { backups: 2, failures: [/list the notes in/] }, 'unknown is no success');
      w.machine?.shSync(`chmod 700 ${w.datastore}/.backups`);
      await ok(call('restore', '--vm', '1', '--source', last, '--to', at('later')));
      return isStage(t, at('later'), story.chain[3]);
    }
    const refused = await b.run(call('restore', '--vm', '1', '--source', last, '--to', at('no')), GONE);
    t.equal(refused.code, 11);
    t.match(refused.stderr, new RegExp(`increment 1 is gone\\. Before it, .*--source ${first}`));
    putBack();
  });

  const byStock = (name: string, test: (t: Test) => Promise<void>) => driver !== 'zfs' && t.test(name, test);
  byStock('the stock driver merged', async (t) => {
    const two = driver === 'rsync' ? undefined : b.stock('10').flatten(10, b.neighbour, 1);
    if (two === undefined) {
      const [base = '', increment = ''] = b.neighbour.map(({ source }) => join(w.datastore, '10', source));
      execFileSync('qemu-img', [
        'rebase',
        '-u',
        '-f',
        'qcow2',
        '-F',
        'qcow2',
        '-b',
        `${base}/disk.0.0`,
        `${increment}/disk.0.1`,
      ]);
      execFileSync('qemu-img', ['convert', '-O', 'qcow2', `${increment}/disk.0.1`, `${increment}/new`]);
      execFileSync('mv', [`${increment}/new`, `${increment}/disk.0.1`]);
      rmSync(base, { recursive: true });
    }
    t.match(await listed('--vm', '10'), [{ incrementId: 1, type: 'FULL', problem: null }], 'the disk itself tells');
    await ok(call('restore', '--vm', '10', '--to', at('merged')));
    isStage(t, at('merged'), story.neighbour[1]);
    putBack();
  });

  t.test('sweep', async (t) => {
    const { left, kept, release } = await leaveBehind(b);
    const before = await listed();
    const shown = await ok(call('sweep'));
    t.match(shown.stderr, 'nothing was removed: that takes --yes');
    for (const path of [...left, ...kept]) t.ok(isStored(b, path), `${path} is still there`);
    const { leftovers } = JSON.parse((await ok(call('sweep', '--json'))).stdout);
    // In this world the server and the front-end have the same folder for temporary files.
    const where = new Set(
      leftovers.map((one: { what: string; where: string }) => `${one.what} ${one.where.replace(/^[^/]*/, '')}`),
    );
    t.equal(where.size, left.length, JSON.stringify(leftovers));
    await ok(call('sweep', '--yes'));
    for (const path of left) t.notOk(isStored(b, path), `${path} is gone`);
    for (const path of kept) t.ok(isStored(b, path), `${path} stays`);
    t.match((await ok(call('sweep'))).stderr, 'nothing is left over');
    t.strictSame(await listed(), before);
    release();
    putBack();
  });

  if (!standsAlone)
    t.test('sweep: what a flatten left', async (t) => {
      const replaced = await leaveMerged(b);
      const shown = JSON.parse((await ok(call('sweep', '--json'))).stdout).leftovers;
      t.strictSame(shown.map(({ where }: { where: string }) => where).sort(), [...replaced].sort());
      w.serveDatastore((text) => withContent(withText(text, 'DATASTORE', 'NAME', 'backups'), 'IMAGES', ''));
      await ok(call('sweep', '--yes'), {});
      const left = (await listed('--vm', '1')).filter(({ source }) => source !== b.foreign);
      t.notOk(left.some(({ source }) => replaced.includes(source)));
      t.match(left[0], { type: 'FULL', problem: null, replaces: replaced });
      t.ok(left.length >= 2 && left.every(({ problem }) => problem === null), 'the rest still restores');
      putBack();
    });

  t.test('sweep: what was killed before it could answer, and all else that oned does not list', async (t) => {
    const before = (await listed()).map(({ source }) => source);
    const killed = await killUnanswered(b);
    const orphans = [killed, ...(driver === 'rsync' ? age(b) : [])];
    w.serveDatastore((text) => withContent(withText(text, 'DATASTORE', 'NAME', 'backups'), 'IMAGES', '<ID>6</ID>'));
    const image = `<IMAGE><ID>6</ID><VMS><ID>1</ID></VMS><BACKUP_INCREMENTS>${incrementsXml(chain)}</BACKUP_INCREMENTS></IMAGE>`;
    w.oned.behaviour = { ...w.oned.behaviour, images: [image] };
    const shown = JSON.parse((await ok(call('sweep', '--json'), {})).stdout);
    t.strictSame([...shown.orphans].sort(), [...orphans].sort(), 'those of today may still be told of');
    t.match((await ok(call('sweep', '--yes'), {})).stderr, 'go only by sweep ID --yes --orphans');
    t.strictSame(
      (await listed('--vm', '11')).map(({ source }) => source),
      [killed],
    );
    t.equal((await b.run(call('sweep', '--yes', '--orphans'))).code, 2, 'of a file, oned is not believed');
    await ok(['sweep', '100', '--yes', '--orphans'], {});
    const left = (await listed()).map(({ source }) => source);
    t.strictSame(left.sort(), before.filter((source) => !orphans.includes(source)).sort());
  });

  if (driver === 'restic') {
    t.test('prune', async (t) => {
      putBack();
      b.stock('1').restic([], 'forget', last);
      t.match((await ok(call('prune'))).stdout, /\/1: [1-9][0-9]* blobs/);
      t.match((await ok(call('prune'))).stdout, /\/1: [1-9][0-9]* blobs/, 'nothing was done yet');
      await ok(call('prune', '--yes'));
      t.match((await ok(call('prune'))).stdout, /\/1: 0 blobs/);
    });
  } else {
    t.test('nothing to prune', async (t) => t.equal((await b.run(call('prune'), GONE)).code, 1));
  }
}
