import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Test } from 'tap';
import type { Stage } from '../conformance/story';
import { difference } from '../helpers/disk';
import type { DriverName } from '../helpers/drivers';
import type { Ended } from '../helpers/front-end';
import { incrementsXml, withContent, withText } from '../helpers/messages';
import { parseTemplateText } from '../helpers/oned-template';
import { type BackupsWorld, openBackups } from './backups-world';

/** Nobody listens there: oned is gone. */
const GONE = { ONE_XMLRPC: 'http://127.0.0.1:1/RPC2' };

interface Listed {
  readonly vmId: number;
  readonly incrementId: number;
  readonly source: string;
  readonly time: string;
  readonly problem: string | null;
  readonly [name: string]: unknown;
}

interface Found {
  readonly vm: number;
  readonly increment: number;
  readonly disk: number | null;
  readonly source: string | null;
  readonly neededBy: readonly string[];
}

/** What backupctl tells and does of backups, with a driver. */
export async function tellBackups(t: Test, driver: DriverName, programs?: string): Promise<void> {
  const b = await openBackups(driver, programs);
  t.teardown(() => b.stop());
  const { w, chain, story } = b;
  const [first, second, third, last] = chain.map(({ source }) => source) as [string, string, string, string];
  const at = (name: string): string => join(w.folder, name);
  const call = (name: string, ...words: string[]): string[] => [name, b.file, ...b.place, ...words];
  const ok = async (words: readonly string[], env: NodeJS.ProcessEnv = GONE): Promise<Ended> => {
    const ended = await b.run(words, env);
    if (ended.code !== 0) throw new Error(`${words.join(' ')}: exit code ${ended.code}: ${ended.stderr}`);
    return ended;
  };
  const listed = async (...words: string[]): Promise<Listed[]> =>
    (JSON.parse((await ok(call('list', '--json', ...words))).stdout) as { backups: Listed[] }).backups;
  const saved = at('saved');
  execFileSync('cp', ['-a', w.datastore, saved]);
  /** Undoes what a test did to the stored backups. */
  const putBack = (): void => {
    rmSync(w.datastore, { recursive: true, force: true });
    execFileSync('cp', ['-a', saved, w.datastore]);
  };
  const isStage = (t: Test, folder: string, stage: Stage, format = 'qcow2'): void => {
    for (const [id, raw] of stage.disks)
      t.equal(difference(join(folder, `disk.${id}.${format}`), raw), undefined, `disk ${id} at ${stage.incrementId}`);
    const xml = Buffer.from(stage.vmXml.toString(), 'base64').toString();
    t.equal(readFileSync(join(folder, 'vm.xml'), 'utf8'), xml, 'vm.xml can be read');
    if (stage.tpm !== undefined) t.ok(readFileSync(join(folder, 'disk.tpm.0')).equals(stage.tpm), 'the TPM state');
    t.strictSame(
      readdirSync(folder).filter((name) => name.startsWith('.')),
      [],
      'nothing else is left',
    );
  };

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
        [1, 0, first, 'FULL', null, [second, third, last], true],
        [1, 1, second, 'INCREMENT', null, [third, last], true],
        [1, 2, third, 'INCREMENT', null, [last], true],
        [1, 3, last, 'INCREMENT', null, [], true],
        [1, 0, b.foreign, 'FULL', null, [], true],
        [10, 0, b.neighbour[0]?.source, 'FULL', null, [b.neighbour[1]?.source], false],
        [10, 1, b.neighbour[1]?.source, 'INCREMENT', null, [], false],
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
      (await listed('--vm', '10')).map(({ vmId }) => vmId),
      [10, 10],
    );
    const csv = (await ok(call('list', '--csv'))).stdout.trim().split('\n');
    t.equal(csv.length, 8);
    t.match(csv[4], new RegExp(`^1,.*,6,3,2,INCREMENT,${last},20.*,ok,0,$`));
    const nowhere = await b.run(['list', b.file, '--base-path', '/no/such/100'], GONE);
    t.equal(nowhere.code, 6);
    t.match(nowhere.stderr, 'has no folder /no/such/100');
  });

  t.test('list, compared with oned', async (t) => {
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
    const swept = await ok(call('sweep', '--yes', '--orphans'), {});
    t.match(swept.stderr, 'nothing is left over', 'a backup of today is no orphan yet');
    w.oned.behaviour = { ...w.oned.behaviour, images: [] };
    t.match((await ok(call('list'), {})).stderr, /not compared.*does not show this user all images/);
  });

  t.test('show', async (t) => {
    const told = JSON.parse((await ok(call('show', third.slice(0, 5), '--json'))).stdout);
    w.serveDatastore();
    t.strictSame(told.urls, await b.ours.ls(chain, { increment: 2 }));
    t.match(told, { chain: chain.slice(0, 3), neededBy: [last], manifest: { vmId: 1, incrementId: 2 } });
    t.ok(
      told.files.some(
        ({ name, sizeBytes }: { name: string; sizeBytes: number }) => name === 'disk.0.2' && sizeBytes > 0,
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
      if (stage.incrementId === 0) t.match(stdout, driver === 'rsync' ? /size, sha256/ : /size, qemu-img check/);
      const template = readFileSync(join(folder, 'vm.template'), 'utf8');
      t.match(JSON.stringify(parseTemplateText(template)), `1-${chain[stage.incrementId]?.source}-disk-0`);
      t.match(readFileSync(join(folder, 'disk.0.image'), 'utf8'), `PATH = "${folder}/disk.0.${format}"`);
    }
    const stock = at('restored-stock');
    await ok(call('restore', '--vm', '10', '--latest', '--to', stock));
    isStage(t, stock, story.neighbour[1]);
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
    const [full] = await listed('--vm', '10');
    const time = String(full?.time).slice(0, 19);
    const other = call('restore', '--vm', '10', '--at', `${time}Z`, '--to', folder);
    const refused = await b.run(other, GONE);
    t.equal(refused.code, 9);
    t.match(refused.stderr, /holds files that are not of this backup: disk\.0\.qcow2.*--yes/);
    isStage(t, folder, story.neighbour[1]);
    await ok([...other, '--yes']);
    isStage(t, folder, story.neighbour[0]);
    writeFileSync(disk, 'changed by somebody');
    t.equal((await b.run(other, GONE)).code, 9, 'a file that was changed is not taken for verified');
  });

  t.test('restore: killed, and cancelled', async (t) => {
    const folder = at('interrupted');
    const parts = (): string[] =>
      existsSync(folder) ? readdirSync(folder).filter((name) => name.endsWith('.part')) : [];
    const words = call('restore', '--vm', '10', '--to', folder);
    const until = async (signal: 'SIGKILL' | 'SIGINT'): Promise<Ended> => {
      const running = b.start(words);
      while (!parts().some((name) => name.includes('disk')) && running.child.exitCode === null) await sleep(2);
      process.kill(running.child.pid as number, signal);
      return running.ended;
    };
    await until('SIGKILL');
    t.ok(parts().length > 0, 'a kill leaves a part');
    t.notOk(existsSync(join(folder, 'disk.0.qcow2')), 'but nothing that looks complete');
    t.notOk(existsSync(join(folder, 'vm.template')));
    t.match((await ok(words)).stderr, 'removed what an interrupted restore had left');
    isStage(t, folder, story.neighbour[1]);
    rmSync(folder, { recursive: true });
    t.equal((await until('SIGINT')).code, 14);
    t.strictSame(parts(), [], 'Ctrl-C leaves none');
    t.notOk(existsSync(join(folder, 'disk.0.qcow2')));
  });

  t.test('verify: all is well', async (t) => {
    const { stdout } = await ok(call('verify', '--full'));
    t.match(stdout, /^ 1 .* 5 +ok$/m);
    t.match(stdout, /^10 .* 2 +ok$/m);
    const sampled = await ok(call('verify', '--sample', '50%', '--seed', '3', '--bwlimit', '50000'));
    t.match(sampled.stderr, 'reading 50% of the data, part of seed 3');
    t.equal((await b.run(call('verify', '--sample', '0%'), GONE)).code, 2);
  });

  t.test('verify: one byte', async (t) => {
    const expected = flipOne(b);
    const { code, stdout } = await b.run(call('verify', '--full', '--json'), GONE);
    t.equal(code, 1);
    const { findings } = JSON.parse(stdout) as { findings: Found[] };
    const told = findings.map(({ vm, increment, disk, source }) => `${vm} ${increment} ${disk} ${source}`);
    t.strictSame(
      told.sort(),
      expected
        .map((one) => `1 ${chain.findIndex(({ source }) => source === one.source)} ${one.disk} ${one.source}`)
        .sort(),
    );
    t.match((await b.run(call('verify', '--full', '--vm', '10'), GONE)).code, 0, 'no other VM is blamed');
    putBack();
  });

  t.test('verify: goes on after a kill', async (t) => {
    const state = at('state.json');
    const words = call('verify', '--full', '--state', state, '--bwlimit', '20000');
    const running = b.start(words);
    while (!existsSync(state) && running.child.exitCode === null) await sleep(5);
    process.kill(running.child.pid as number, 'SIGKILL');
    await running.ended;
    const done = Object.keys(JSON.parse(readFileSync(state, 'utf8')).done);
    t.ok(done.length > 0);
    const ended = await ok([...words, '--verbose']);
    t.match(ended.stderr, 'going on with the run that was interrupted');
    t.equal(ended.stderr.match(/: done before$/gm)?.length, done.length);
    t.notOk(existsSync(state), 'the next run begins anew');
  });

  t.test('a backup is gone', async (t) => {
    if (driver === 'rsync') rmSync(join(w.datastore, '1', second), { recursive: true });
    else
      for (const name of readdirSync(join(w.datastore, '1', 'snapshots')).filter((one) => one.startsWith(second)))
        rmSync(join(w.datastore, '1', 'snapshots', name), { force: true });
    const own = (await listed('--vm', '1')).filter(({ source }) => source !== b.foreign);
    t.strictSame(
      own.map(({ incrementId, problem }) => [incrementId, problem]),
      [
        [0, null],
        [2, 'increment 1 is gone'],
        [3, 'increment 1 is gone'],
      ],
    );
    const { code, stdout } = await b.run(call('verify', '--json', '--vm', '1'), GONE);
    t.equal(code, 1);
    t.match(JSON.parse(stdout).findings, [{ vm: 1, increment: 1, neededBy: [third, last] }]);
    const refused = await b.run(call('restore', '--vm', '1', '--source', last, '--to', at('no')), GONE);
    t.equal(refused.code, 11);
    t.match(refused.stderr, new RegExp(`increment 1 is gone\\. Before it, .*--source ${first}`));
    putBack();
  });

  t.test('the stock driver merged', async (t) => {
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
    const { left, kept } = await leaveBehind(t, b);
    const before = await listed();
    const shown = await ok(call('sweep'));
    t.match(shown.stderr, 'nothing was removed: that takes --yes');
    for (const path of [...left, ...kept]) t.ok(existsSync(path), `${path} is still there`);
    const { leftovers } = JSON.parse((await ok(call('sweep', '--json'))).stdout);
    // In this world the server and the front-end have the same folder for temporary files.
    const where = new Set(
      leftovers.map((one: { what: string; where: string }) => `${one.what} ${one.where.replace(/^[^/]*/, '')}`),
    );
    t.equal(where.size, left.length, JSON.stringify(leftovers));
    await ok(call('sweep', '--yes'));
    for (const path of left) t.notOk(existsSync(path), `${path} is gone`);
    for (const path of kept) t.ok(existsSync(path), `${path} stays`);
    t.match((await ok(call('sweep'))).stderr, 'nothing is left over');
    t.strictSame(await listed(), before);
    putBack();
  });
}

/** Changes one byte of what is stored of VM 1, and says which disks that damages. */
function flipOne(b: BackupsWorld): { source: string; disk: number }[] {
  const folder = join(b.w.datastore, '1');
  const flip = (path: string, at: number): void => {
    execFileSync('chmod', ['u+w', path]);
    const content = readFileSync(path);
    content[at] = (content[at] ?? 0) ^ 1;
    writeFileSync(path, content);
  };
  if (b.w.driver === 'rsync') {
    const source = b.chain[1]?.source ?? '';
    const path = join(folder, source, 'disk.1.1');
    flip(path, statSync(path).size - 70_000);
    return [{ source, disk: 1 }];
  }
  const packs = readdirSync(join(folder, 'data'), { recursive: true, encoding: 'utf8' }).map((name) =>
    join(folder, 'data', name),
  );
  const [largest = ''] = packs
    .filter((path) => statSync(path).isFile())
    .sort((x, y) => statSync(y).size - statSync(x).size);
  flip(largest, 300_000);
  const stock = b.stock('1');
  return stock.snapshots().flatMap(({ id, paths }) =>
    paths.flatMap((path) => {
      try {
        stock.dump(id, path);
        return [];
      } catch {
        return [{ source: id.slice(0, 8), disk: Number(/disk\.(\d+)/.exec(path)?.[1]) }];
      }
    }),
  );
}

/** Leaves what dead actions leave, and what only looks like it. */
async function leaveBehind(t: Test, b: BackupsWorld): Promise<{ left: string[]; kept: string[] }> {
  const { w } = b;
  const make = (...names: string[]): string => {
    const path = join(...names);
    mkdirSync(path, { recursive: true });
    return path;
  };
  const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').slice(0, 8);
  const left = [make(w.temporary, 'one-backup-download-00000000-1-abcdefgh')];
  const kept = [make(w.temporary, `one-backup-download-${boot}-${process.pid}-abcdefgh`)];
  const repository = join(w.datastore, '1');
  if (w.driver === 'rsync') {
    left.push(make(repository, '.receiving-0a'), make(repository, '.merging-0b'), make(repository, '.removing-0c'));
    const held = make(repository, '.receiving-0d');
    kept.push(held);
    const holder = spawn('flock', ['--shared', held, 'sleep', '600'], { stdio: 'ignore', detached: true });
    t.teardown(() => process.kill(-(holder.pid as number), 'SIGKILL'));
    while (!isHeld(held)) await sleep(20);
    return { left, kept };
  }
  left.push(make(w.datastore, `1.new-${hostname()}.4194304.abc`), make(w.datastore, '1.broken-abc'));
  kept.push(make(w.datastore, `1.new-${hostname()}.${process.pid}.abc`));
  const upload = join(repository, 'data', '00', `${'a'.repeat(64)}-restic-temp-1234`);
  make(repository, 'data', '00');
  writeFileSync(upload, 'half');
  utimesSync(upload, 1, 1);
  const dying = spawn('restic', ['-r', repository, '--no-cache', 'backup', '--stdin'], {
    env: { ...process.env, RESTIC_PASSWORD: w.password },
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  const locks = (): string[] => readdirSync(join(repository, 'locks'));
  while (locks().length === 0 && dying.exitCode === null) await sleep(20);
  dying.kill('SIGKILL');
  await new Promise((resolve) => dying.once('close', resolve));
  return { left: [...left, upload, ...locks().map((name) => join(repository, 'locks', name))], kept };
}

function isHeld(folder: string): boolean {
  try {
    execFileSync('flock', ['--nonblock', '--exclusive', folder, 'true'], { stdio: 'ignore' });
    return false;
  } catch {
    return true;
  }
}
