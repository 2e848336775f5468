import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';
import type { Stage } from '../conformance/story';
import { difference } from '../helpers/disk';
import type { Running } from '../helpers/front-end';
import { incrementsXml, withContent, withText } from '../helpers/messages';
import { parseTemplateText } from '../helpers/oned-template';
import { type BackupsWorld, GONE, isStage } from './backups-world';
import { rowsOf } from './doctor-report';
import { struckAt } from './struck';

/** What backupctl tells of backups, and restores. */
export function tellBackups(t: Test, b: BackupsWorld): void {
  const { w, chain, story, at, call, ok, listed } = b;
  const [first, second, third, last] = chain.map(({ source }) => source) as [string, string, string, string];
  const standsAlone = w.driver === 'zfs';
  /** Those that need a backup, where any does. */
  const needing = (...sources: (string | undefined)[]): typeof sources => (standsAlone ? [] : sources);

  t.test('list, without oned', async (t) => {
    const ended = await ok(call('list'));
    t.match(ended.stderr, /^not compared with oned: .*ECONNREFUSED.*\n$/, 'one line says that oned does not answer');
    t.match(ended.stdout, new RegExp(`^ 1 +3 +inc +${last} +20\\S+ \\S+ .*ok$`, 'm'));
    t.ok(ended.stdout.split('\n').every((line) => line.length <= 80));
    const all = await listed();
    t.strictSame(
      all.map(({ vmId, incrementId, source, type, problem, neededBy, hasManifest }) => {
        return [vmId, incrementId, source, type, problem, neededBy, hasManifest];
      }),
      [
        [1, 0, first, 'FULL', null, needing(second, third, last), true],
        [1, 1, second, 'INCREMENT', null, needing(third, last), true],
        [1, 2, third, 'INCREMENT', null, needing(last), true],
        [1, 3, last, 'INCREMENT', null, [], true],
        [1, 0, b.foreign, 'FULL', null, [], true],
        [10, 0, b.neighbour[0]?.source, 'FULL', null, needing(b.neighbour[1]?.source), standsAlone],
        ...b.neighbour.slice(1).map(({ source }) => [10, 1, source, 'INCREMENT', null, [], standsAlone]),
      ],
    );
    t.match(all[2], {
      jobId: null,
      imageId: 6,
      parentId: 1,
      vmName: /./,
      disks: [{ id: 0, virtualSizeMb: 42 }, { id: 1 }],
    });
    t.ok(all.slice(0, 5).every(({ storedBytes }) => Number(storedBytes) > 2 ** 20));
    t.equal(all[4]?.jobId, 0);
    t.strictSame(
      (await listed('--vm', '10')).map(({ source }) => source),
      b.neighbour.map(({ source }) => source),
    );
    const csv = (await ok(call('list', '--csv'))).stdout.trim().split('\n');
    t.equal(csv.length, 1 + all.length);
    t.match(csv[4], new RegExp(`^1,.*,6,3,2,INCREMENT,${last},20.*,ok,0,$`));
    const nowhere = await b.run(['list', b.file, '--base-path', '/no/such/101'], GONE);
    t.equal(nowhere.code, 6);
    t.match(nowhere.stderr, standsAlone ? /dataset does not exist/ : 'has no folder /no/such/101');
    t.strictSame(await listed('--vm', '99'), [], 'a VM that nobody backed up');
  });

  const onFolders = (name: string, test: (t: Test) => Promise<void>) => !b.isSlow && t.test(name, test);
  onFolders('list, compared with oned', async (t) => {
    const own = [...chain, { id: 4, source: 'deadbeef' }];
    const image = `<IMAGE><ID>6</ID><NAME>b</NAME><VMS><ID>1</ID></VMS><BACKUP_INCREMENTS>${incrementsXml(own)}</BACKUP_INCREMENTS></IMAGE>`;
    w.serveDatastore((text) => {
      return withContent(withText(text, 'DATASTORE', 'NAME', 'backups'), 'IMAGES', '<ID>6</ID>');
    });
    w.oned.behaviour = { ...w.oned.behaviour, images: ['<IMAGE><ID>2</ID></IMAGE>', image] };
    const told = JSON.parse((await ok(call('list', '--json'), {})).stdout);
    t.match(told.oned, { compared: true, onlyOned: [{ imageId: 6, vmId: 1, incrementId: 4, source: 'deadbeef' }] });
    t.strictSame(
      told.backups.map(({ inOned }: { inOned: boolean }) => inOned),
      [true, true, true, true, false, false, false],
    );
    const { stdout, stderr } = await ok(['list', '100'], {});
    t.match(stdout, last, 'by its id, too');
    t.match(stderr, /only oned: increment 4 \(deadbeef\) of VM 1, image 6/);
    t.match(stderr, new RegExp(`only on the server: increment 0 \\(${b.foreign}\\) of VM 1`));
    const swept = await ok(['sweep', '100', '--yes', '--orphans'], {});
    t.match(swept.stderr, 'nothing is left over', 'a backup of today is no orphan yet');
    const verified = await b.run(call('verify', '--vm', '1', '--json'));
    t.equal(verified.code, 1);
    const lost = { vm: 1, increment: 4, source: 'deadbeef', what: 'oned lists it, and it is gone', neededBy: [] };
    t.strictSame(JSON.parse(verified.stdout).findings, [{ ...lost, disk: null }], 'what oned still lists');
    const held = async () =>
      rowsOf((await b.run(['doctor', '100', '--host', 'host1'])).stdout).find(({ what }) => what === 'backups');
    t.match(await held(), { state: 'ok', says: /^oned lists one backup image here, and the server holds backups/ });
    renameSync(w.datastore, `${w.datastore}.away`);
    t.match(await held(), { machine: 'server', state: 'FAILURE', hint: /mounted/ });
    mkdirSync(w.datastore); // the place where it would be mounted
    t.match(await held(), { state: 'FAILURE', says: /and the server holds none$/ });
    rmSync(w.datastore, { recursive: true });
    renameSync(`${w.datastore}.away`, w.datastore);
    w.oned.behaviour = { ...w.oned.behaviour, images: [] };
    t.match((await ok(call('list'), {})).stderr, /not compared.*does not show this user all images/);
  });

  t.test('show', async (t) => {
    const told = JSON.parse((await ok(call('show', third.slice(0, 5), '--json'))).stdout);
    w.serveDatastore();
    t.strictSame(told.urls, await b.ours.ls(chain, { increment: 2 }));
    const upTo = standsAlone ? chain.slice(2, 3) : chain.slice(0, 3);
    t.match(told, { chain: upTo, neededBy: needing(last), manifest: { vmId: 1, incrementId: 2 } });
    t.ok(
      told.files.some(
        ({ name, sizeBytes }: { name: string; sizeBytes: number }) =>
          name === (standsAlone ? 'disk.0' : 'disk.0.2') && sizeBytes > 0,
      ),
    );
    const { stdout } = await ok(call('show', third));
    t.match(stdout, new RegExp(`^restore +backupctl restore ${b.file} .*--vm 1 --source ${third}`, 'm'));
    t.equal((await b.run(call('show', '00000000'), GONE)).code, 6);
  });

  t.test('restore: every point, with oned gone', async (t) => {
    for (const stage of story.chain.slice(0, 4)) {
      const folder = at(`restored-${stage.incrementId}`);
      const format = stage.incrementId === 1 ? 'raw' : 'qcow2';
      const which = ['--source', chain[stage.incrementId]?.source ?? '', '--format', format];
      const { stdout } = await ok(call('restore', '--vm', '1', ...which, '--to', folder));
      isStage(t, folder, stage, format);
      if (format === 'qcow2') t.match(stdout, /disk\.0\.qcow2 .*qemu-img check/);
      else t.equal(statSync(join(folder, 'disk.0.raw')).mode & 0o777, 0o600, 'only its owner reads what was converted');
      if (stage.incrementId === 2 && w.driver === 'rsync')
        t.match(stdout, /disk\.0\.qcow2 .*sha256 of its chain/, 'by all manifests of its chain');
      if (stage.incrementId === 0)
        t.match(stdout, w.driver === 'rsync' ? /size, sha256/ : /size, qemu-img check/, 'by its manifest, too');
      const template = readFileSync(join(folder, 'vm.template'), 'utf8');
      t.match(JSON.stringify(parseTemplateText(template)), `1-${chain[stage.incrementId]?.source}-disk-0`);
      t.match(readFileSync(join(folder, 'disk.0.image'), 'utf8'), `PATH = "${folder}/disk.0.${format}"`);
    }
    const others = [
      { vm: 1, source: b.foreign, stage: story.foreign },
      ...b.neighbour.slice(0, -1).map(({ id, source }) => ({ vm: 10, source, stage: story.neighbour[id] as Stage })),
    ];
    for (const { vm, source, stage } of others) {
      const folder = at(`restored-${source}`);
      await ok(call('restore', '--vm', String(vm), '--source', source, '--to', folder));
      isStage(t, folder, stage);
    }
    const stock = at('restored-stock');
    await ok(call('restore', '--vm', '10', '--latest', '--to', stock));
    isStage(t, stock, b.newest);
    const all = (await listed()).length;
    t.equal(all, 4 + others.length + 1, 'there are no other points');
    const one = at('restored-one');
    await ok(call('restore', '--vm', '1', '--increment', '2', '--disk', '1', '--to', one));
    t.same(
      readdirSync(one).filter((name) => /^(disk\.\d\.qcow2|vm.template)$/.test(name)),
      ['disk.1.qcow2'],
    );
    t.equal(difference(join(one, 'disk.1.qcow2'), story.chain[2].disks.get(1) ?? ''), undefined);
  });

  t.test('restore: again, and over another backup', async (t) => {
    const folder = at('restored-stock');
    const disk = join(folder, 'disk.0.qcow2');
    const before = statSync(disk).ino;
    const again = call('restore', '--vm', '10', '--to', folder);
    t.match((await ok(again)).stderr, 'disk.0.qcow2 is there and verified, it is not fetched again');
    t.equal(statSync(disk).ino, before);
    if (b.isSlow) return;
    const [full] = await listed('--vm', '10');
    const other = call('restore', '--vm', '10', '--at', String(full?.time), '--to', folder);
    const refused = await b.run(other, GONE);
    const others = /holds files that this restore would make differently: disk\.0\.qcow2.*--yes/;
    t.match(refused, { code: 2, stderr: others });
    isStage(t, folder, story.neighbour[1]);
    await ok([...other, '--yes']);
    isStage(t, folder, story.neighbour[0]);
    writeFileSync(disk, 'changed by somebody');
    t.match(await b.run(other, GONE), { code: 2, stderr: others }, 'a file that was changed is not taken for verified');
  });

  t.test('restore: killed, and cancelled', async (t) => {
    const folder = at('interrupted');
    const parts = (): string[] =>
      existsSync(folder) ? readdirSync(folder).filter((name) => name.endsWith('.part')) : [];
    const words = call('restore', '--vm', '10', '--to', folder);
    const isFilled = (): boolean => parts().some((name) => name.includes('qcow2'));
    const begin = (): Running => {
      rmSync(folder, { recursive: true, force: true }); // or what is there would not be fetched again
      return b.start(words);
    };
    await struckAt('a part of the disk', begin, isFilled, 'SIGKILL');
    t.ok(parts().length > 0, 'a kill leaves a part');
    t.notOk(existsSync(join(folder, 'disk.0.qcow2')), 'but nothing that looks complete');
    t.notOk(existsSync(join(folder, 'vm.template')));
    t.match((await ok(words)).stderr, 'removed what an interrupted restore had left');
    isStage(t, folder, b.newest);
    t.equal((await struckAt('a part of the disk', begin, isFilled, 'SIGINT')).code, 14);
    t.strictSame(parts(), [], 'Ctrl-C leaves none');
    t.notOk(existsSync(join(folder, 'disk.0.qcow2')));
  });
}
