import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { cpSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { mountSmall } from '../actions/storage';
import { holdLock } from '../faults/lock-holder';
import { quickenKey } from '../helpers/quick-key';
import { isMended, problems, rowsOf } from './doctor-report';
import { brokenSsh, change } from './doctor-ssh';
import { CREATED, type DoctorWorld, openDoctor } from './doctor-world';

let world: DoctorWorld;
const skip = process.getuid?.() === 0 ? false : 'only root can hide programs, and mount a small filesystem';

for (const driver of ['restic', 'rsync'] as const) {
  t.test(driver, { skip }, async (t) => {
    world = await openDoctor(driver);
    t.teardown(() => world.stop());
    world.serve();

    t.test('the example is registered, and all is well', async (t) => {
      t.match(await world.run('doctor', world.file), { code: 0, stderr: /without --id/ });
      t.match(await world.run('register', world.file, '--host', 'host1'), { code: 0, stdout: `${CREATED}\n` });
      const { code, stdout, stderr } = await world.run('doctor', String(CREATED));
      t.strictSame([code, problems(rowsOf(stdout)), stderr], [0, [], ''], stdout);
      const links = rowsOf(stdout).map(({ machine, what }) => `${machine}: ${what}`);
      for (const link of [
        'the front-end: oned',
        'server: folder',
        'server: leftovers',
        'host1: to server',
        'host1: staging',
      ])
        t.ok(links.includes(link), link);
      t.notMatch(stdout, /[^\n -~]/);
      t.ok(
        stdout.split('\n').every((line) => line.length <= 80),
        stdout,
      );
    });

    if (driver === 'restic') {
      brokenSsh(t, world);
      ofRestic(t);
    } else ofRsync(t);

    t.test('nothing is left of it', async (t) => {
      const { folder, varDir, temporary } = world.w;
      const left = [join(varDir, 'datastores'), temporary, join(folder, 'host1')]
        .flatMap((place) => readdirSync(place, { recursive: true, encoding: 'utf8' }))
        .filter((name) => name.includes('doctor'));
      t.strictSame(left, []);
    });
  });
}

function ofRestic(t: Test): void {
  const repository = (): string => join(world.basePath, '7');
  const restic = (...args: string[]): void => {
    const env = { ...world.env, RESTIC_PASSWORD: world.password };
    const { status, stderr } = spawnSync('restic', ['-r', repository(), '--no-cache', ...args], {
      env,
      encoding: 'utf8',
    });
    if (status !== 0) throw new Error(stderr);
  };

  t.test('a program that a host does not have', async (t) => {
    world.hide('host1', 'restic');
    await isMended(t, world, { machine: 'host1', what: 'programs', says: /^there is no restic$/ });
  });

  t.test('a wrong password', async (t) => {
    restic('init');
    quickenKey(repository(), world.password);
    const data = join(world.w.folder, 'data');
    mkdirSync(data);
    writeFileSync(join(data, 'file'), 'x'.repeat(300_000));
    // A prune reads their names at 1 KiB/s, and holds its lock some 20 s.
    for (let n = 0; n < 400; n++) writeFileSync(join(data, randomBytes(32).toString('hex')), '');
    restic('backup', data);
    world.write({ RESTIC_PASSWORD: 'sesame' });
    const says = /RESTIC_PASSWORD does not open repository \S+104\/7$/;
    const hint = /Correct it in \S+backups\.ds\./;
    await isMended(t, world, { machine: 'server', what: 'password', says, hint, byHand: () => world.write() });
  });

  t.test('one repository that somebody has given another password', async (t) => {
    const other = join(world.basePath, '8');
    cpSync(repository(), other, { recursive: true });
    const file = join(world.w.folder, 'other-password');
    writeFileSync(file, 'sesame');
    restic('-r', other, 'key', 'passwd', '--new-password-file', file);
    const says = /RESTIC_PASSWORD opens 1 of 2 repositories, but not \S+104\/8$/;
    const hint = /restic key passwd/;
    const byHand = (): void => rmSync(other, { recursive: true });
    await isMended(t, world, { machine: 'server', what: 'password', says, hint, byHand });
  });

  t.test('a lock that somebody holds, and one that nobody holds any more', async (t) => {
    const holder = await holdLock({ world }, repository());
    const says = new RegExp(`is locked by PID ${holder.pid} on`);
    const early = await world.doctor();
    t.match([early.code, problems(early.rows)], [0, [{ what: 'locks', state: 'warning', says }]], early.said);
    world.write({ RESTIC_LOCK_WAIT: '0' });
    // The signal of the mend reaches it when it goes on.
    await isMended(t, world, { machine: 'server', what: 'locks', says, byHand: () => holder.release() });
    const dead = await holdLock({ world }, repository());
    await dead.die();
    await isMended(t, world, { machine: 'server', what: 'leftovers', says: /^a stale lock of PID/, state: 'warning' });
    world.write();
  });

  t.test('a disk that is full', async (t) => {
    const small = join(world.w.folder, 'small');
    mkdirSync(small);
    await mountSmall(t, small, '64m');
    const filler = join(small, 'filler');
    writeFileSync(filler, Buffer.alloc(60 * 2 ** 20));
    const broken = {
      machine: 'server',
      what: 'folder',
      says: /^full: \S+ has \S+ MiB free of 64\.0 MiB/,
      hint: /Remove old backups/,
    };
    await isMended(t, world, { ...broken, byHand: () => rmSync(filler) }, '--base-path', small);
  });
}

function ofRsync(t: Test): void {
  t.test('one machine that cannot be reached hides nothing of the others', async (t) => {
    world.w.ssh.configure('Host lost\n  HostName lost.invalid\n');
    const { code, rows, said } = await world.doctor('--host', 'lost', '--host', 'host1');
    t.equal(code, 1, said);
    t.match(problems(rows), [
      { machine: 'lost', what: 'name', says: /^(no address|the name service .*) for.* lost\.invalid/ },
    ]);
    const others = rows.filter(({ machine, state }) => machine === 'lost' && state === '-');
    t.match(others[0], { what: 'ssh', says: 'name must work first' });
    t.ok(others.length > 4);
    t.ok(rows.some(({ machine, what, state }) => machine === 'host1' && what === 'to server' && state === 'ok'));
  });

  t.test('wrong attributes hide nothing of what needs none', async (t) => {
    const broken = { BRIDGE_LIST: 'host1,host2', RSYNC_NICE: '50', RSYNC_STALL_LIMIT: 'x' };
    t.teardown(() => world.write());
    world.write({ BRIDGE_LIST: broken.BRIDGE_LIST });
    const bridges = await world.doctor();
    t.match([bridges.code, problems(bridges.rows)], [1, [{ machine: 'the front-end', what: 'template' }]]);
    t.ok(bridges.rows.some(({ machine, what, state }) => machine === 'server' && what === 'folder' && state === 'ok'));
    world.write(broken);
    const { code, rows, said } = await world.doctor();
    const hint = /Correct it in \S+backups\.ds\./;
    t.match(problems(rows), [
      { machine: 'the front-end', what: 'template', says: /BRIDGE_LIST is "host1,host2", which is not a list/, hint },
      { machine: 'the front-end', what: 'template', says: /RSYNC_NICE is "50", it must be a whole number/, hint },
      { machine: 'the front-end', what: 'template', says: /RSYNC_STALL_LIMIT is "x"/, hint },
    ]);
    t.strictSame([code, problems(rows).length], [1, 3], said);
    t.match(
      rows.find(({ what }) => what === 'server'),
      { state: '-', says: 'template must work first' },
    );
    for (const what of ['actions', 'programs', 'oned'])
      t.ok(rows.some((row) => row.what === what && row.state === 'ok'));
    t.ok(rows.some(({ machine, what, state }) => machine === 'host1' && what === 'staging' && state === 'ok'));
  });

  t.test('programs of the server; only what is wrong, for people and as JSON; register ends', async (t) => {
    world.hide('server', 'rsync', 'qemu-img');
    const { code, stdout } = await world.run('doctor', world.file, '--id', String(CREATED), '--problems');
    t.match(rowsOf(stdout), [{ machine: 'server', what: 'programs', says: 'there is no rsync and no qemu-img' }]);
    t.equal(code, 1);
    const json = await world.run('doctor', world.file, '--id', String(CREATED), '--json');
    const { failures, machines } = JSON.parse(json.stdout);
    t.strictSame([json.code, failures], [1, 1]);
    const checks = machines.find(({ name }: { name: string }) => name === 'server').checks;
    const mend = [{ on: 'server', asRoot: true, command: 'apt-get install -y rsync qemu-utils' }];
    t.match(
      checks.find(({ what }: { what: string }) => what === 'programs'),
      { state: 'failure', mend },
    );
    const before = world.w.oned.calls.length;
    const refused = await world.run('register', world.file);
    t.match(refused, {
      code: 1,
      stdout: '',
      stderr: /failure: server: programs: there is no rsync.*\n.*server# apt-get/,
    });
    const printed = await world.run('register', world.file, '--print', '--cluster', '3');
    t.match(printed, {
      code: 1,
      stdout: `onedatastore create ${world.file} --cluster 3\n`,
      stderr: /failure: server: programs: there is no rsync/,
    });
    t.equal(world.w.oned.calls.length, before, 'oned was not told');
    world.hide('server');
  });

  t.test('oned.conf: what is missing is written by what is told', async (t) => {
    const etc = join(world.w.folder, 'one', 'etc');
    mkdirSync(etc);
    t.teardown(() => rmSync(etc, { recursive: true }));
    const conf = 'DATASTORE_MAD = [\n  EXECUTABLE = "one_datastore",\n  ARGUMENTS = "-t 15 -d dummy,fs -s ssh" ]\n';
    writeFileSync(join(etc, 'oned.conf'), conf);
    const { rows, said } = await world.doctor();
    const found = problems(rows);
    t.match(found, [
      { what: 'oned.conf', says: /does not name rsync/ },
      { what: 'oned.conf', says: /no DS_MAD_CONF of rsync/ },
    ]);
    t.equal(found.length, 2, said);
    const commands = found.flatMap((row) => row.commands);
    const restarts = commands.filter(({ text }) => text === 'systemctl restart opennebula');
    t.strictSame(restarts, commands.slice(-1), 'once, and after all else');
    for (const command of commands) await world.paste(command);
    t.match(await world.doctor(), { code: 0 });
  });

  t.test('without oned the hosts are to be named; scripts that are not ours', async (t) => {
    const { behaviour } = world.w.oned;
    world.w.oned.behaviour = { raw: { status: 500, body: '' } };
    const { code, rows } = await world.doctor();
    world.w.oned.behaviour = behaviour;
    t.equal(code, 0);
    t.match(problems(rows), [{ what: 'oned', state: 'warning', hint: /No host was examined; name them: --host HOST/ }]);
    t.notOk(rows.some(({ machine }) => machine === 'host1'));
    change(t, join(world.w.built, 'rsync', 'backup'), () => '#!/usr/bin/env ruby\n');
    t.match(problems((await world.doctor()).rows), [
      { what: 'actions', says: /^backup in .* is not of this suite/, hint: /npm run install-drivers/ },
    ]);
  });

  t.test('Ctrl-C', async (t) => {
    world.w.ssh.configure('Host silent\n  ProxyCommand sleep 60\n');
    const { child, ended } = world.w.start('backupctl', ['doctor', world.file, '--host', 'silent'], '');
    child.stderr?.once('data', () => child.kill('SIGINT')); // it has said what it is going to do
    t.match(await ended, { code: 14, stdout: '', stderr: /backupctl doctor was cancelled/ });
  });
}
