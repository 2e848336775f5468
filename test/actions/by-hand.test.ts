import { spawn } from 'node:child_process';
import { readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { ERROR_KINDS } from '../../lib/errors';
import { version } from '../../package.json';
import { BackedUpVm } from '../helpers/backed-up-vm';
import { type DriverName, UNDER_TEST } from '../helpers/drivers';
import { type Ended, type FrontEndWorld, startFrontEnd } from '../helpers/front-end';
import { realMessage, withText } from '../helpers/messages';
import { treeOf } from '../helpers/tree';
import { PLANNED } from './driver-tables';

const UNSUPPORTED = ['cp', 'clone', 'mkfs', 'export', 'snap_delete', 'snap_flatten', 'snap_revert'];
const ACTIONS = ['monitor', 'backup', 'backup_cancel', 'ls', 'stat', 'restore', 'rm', 'increment_flatten'];
const scripts = (): string[] => [...ACTIONS, ...UNSUPPORTED].map(world.script).concat(world.downloaders);

interface Call {
  readonly script: string;
  readonly args: readonly string[];
  readonly stdin: string;
}

let world: FrontEndWorld;
let vm: BackedUpVm;

/** A call of every action about the same VM, whose backup number 1 is staged and not stored yet. */
function calls(): Call[] {
  const image = (name: 'ls-i2' | 'rm-increments' | 'increment_flatten' | 'restore-increment-named'): string =>
    world.imageMessage(name, vm.id, vm.chain, (text) => text.replace(/<INCREMENT_ID>.*?<\/INCREMENT_ID>/, ''));
  const [args, stdin] = vm.call(vm.chain.length);
  const url = (text: string): string => withText(text, 'IMAGE', 'PATH', vm.url(0));
  return [
    { script: world.script('monitor'), args: ['100'], stdin: world.message('monitor') },
    { script: world.script('backup'), args, stdin },
    {
      script: world.script('backup_cancel'),
      args: [args[0] as string, args[2] as string],
      stdin: realMessage('backup_cancel'),
    },
    { script: world.script('ls'), args: ['-i', '-1'], stdin: image('ls-i2') },
    { script: world.script('stat'), args: ['4'], stdin: world.message('stat-from-backup-ds', url) },
    { script: world.script('restore'), args: ['2'], stdin: image('restore-increment-named') },
    { script: world.script('rm'), args: ['6'], stdin: image('rm-increments') },
    { script: world.script('increment_flatten'), args: ['6'], stdin: image('increment_flatten') },
  ];
}

function call(name: string): Call {
  return calls().find(({ script }) => script.endsWith(`/${name}`)) as Call;
}

/** Runs a script in a pipe whose reader has gone already, as when oned stopped meanwhile; its exit code. */
function unread({ script, args, stdin }: Call): Promise<Ended> {
  const line = `{ sleep 0.2; unset NODE_OPTIONS; "$@"; echo $? >&3; } 2>&1 | true`;
  const child = spawn('bash', ['-c', line, 'oned', join(world.built, script), ...args], {
    env: world.env,
    stdio: ['pipe', 'pipe', 'pipe', 'pipe'],
  });
  let code = '';
  child.stdio[3]?.on('data', (chunk) => {
    code += chunk;
  });
  child.stdin?.on('error', () => {});
  child.stdin?.end(stdin);
  return new Promise((resolve) =>
    child.on('close', () => resolve({ code: Number(code), signal: null, stdout: '', stderr: '' })),
  );
}

for (const driver of new Set<DriverName>([...UNDER_TEST, 'zfs'])) {
  t.test(driver, async (t) => {
    const hasServer = UNDER_TEST.includes(driver);
    world = await startFrontEnd({ driver, withoutMachine: !hasServer });
    t.teardown(() => world.stop());
    vm = new BackedUpVm(world, 1, { disks: 1 });
    for (const id of [0, 1, 2]) {
      if (hasServer) await vm.backUp();
      else vm.chain.push({ id, source: `${id}a1b2c3d4e5f` });
    }
    vm.stage(3);

    t.test('every script is there, and none that is not known here', async (t) => {
      const built = readdirSync(join(world.built, driver)).map((name) => world.script(name));
      t.strictSame([...built, ...world.downloaders].sort(), [...scripts()].sort());
    });

    t.test('--help states the contract of every script', async (t) => {
      for (const script of scripts()) {
        const { code, stdout, stderr } = await world.run(script, ['--help'], '');
        t.strictSame([code, stderr], [0, ''], script);
        for (const part of [
          /\n {2}stdin +\S/,
          /\n {2}stdout +\S/,
          /\n {2}stderr +\S/,
          /\nExit codes:\n {2}0 +done\n/,
        ]) {
          t.match(stdout, part, script);
        }
        for (const { exitCode, meaning } of Object.values(ERROR_KINDS)) {
          const line = stdout
            .replace(/\s+/g, ' ')
            .split(/ (?=[0-9]+ [a-z])/)
            .find((one) => one.startsWith(`${exitCode} `));
          t.match(line, meaning, `${script} explains exit code ${exitCode}`);
        }
        for (const option of ['message', 'dry-run', 'verbose', 'help', 'version'])
          t.match(stdout, ` --${option} `, script);
        const isAction = !UNSUPPORTED.some((name) => script.endsWith(`/${name}`));
        if (isAction) t.match(stdout, /\nExample, by hand:\n +\S+ .*(--message|--stream) /, `${script} has an example`);
        if (isAction && !script.endsWith('/ls'))
          t.match(stdout, /\nArguments, as oned passes them:\n {2}\S+ +\S/, script);
        const longest = Math.max(...stdout.split('\n').map(({ length }) => length));
        t.ok(longest <= 100, `${script} fits 100 columns, not ${longest}`);
        t.match(stdout, /^[\n\x20-\x7e]*$/, `${script} is ASCII`);
      }
    });

    t.test('--version', async (t) => {
      for (const script of scripts()) {
        const { code, stdout, stderr } = await world.run(script, ['--version'], '');
        t.strictSame([code, stderr], [0, '']);
        t.equal(stdout.split(' ')[1], `${version}\n`, script);
      }
    });

    t.test('what a backup datastore cannot do is said, with any arguments and nothing on stdin', async (t) => {
      for (const name of UNSUPPORTED) {
        for (const args of [[], ['a', 'b', '-c'], ['-o', '--size', '10']]) {
          const { code, stdout, stderr } = await world.run(world.script(name), args, '');
          t.strictSame([code, stdout], [1, ''], `${name} ${args}`);
          t.match(stderr, /^[a-z_]+ is not supported by backup datastores\n$/, `${name} ${args}`);
        }
      }
    });

    t.test('--dry-run names each command and host, hides secrets and does nothing', async (t) => {
      const folders = [world.folder, world.ssh.folder];
      const [before, logins, calledBefore] = [treeOf(...folders), world.ssh.connections(), world.oned.calls.length];
      for (const { script, args, stdin } of calls()) {
        const { code, stdout, stderr } = await world.run(script, [...args, '--dry-run'], stdin);
        t.strictSame([code, stderr], [0, ''], script);
        t.match(stdout, /\nNothing was done \(--dry-run\)\.\n$/, script);
        for (const part of PLANNED[driver][script.split('/')[1] as string] ?? []) t.match(stdout, part, script);
        t.notMatch(stdout, world.password, script);
        t.match(stdout, /^[\n\x20-\x7e]*$/, script);
      }
      const file = join(world.folder, '..', `${world.folder.split('/').at(-1)}.message`);
      t.teardown(() => rmSync(file, { force: true }));
      writeFileSync(file, world.message('monitor'));
      for (const flag of world.downloaders.length > 0 ? ['--stream', '--clean'] : []) {
        const words = [flag, vm.url(0), '--message', file, '--dry-run'];
        const { code, stdout } = await world.run(world.downloader, words, '');
        t.equal(code, 0, flag);
        for (const part of PLANNED[driver][flag] ?? []) t.match(stdout, part, flag);
        t.notMatch(stdout, world.password);
      }
      t.strictSame(treeOf(...folders), before, 'nothing changed');
      t.equal(world.ssh.connections(), logins, 'no login anywhere');
      t.equal(world.oned.calls.length, calledBefore, 'no call to oned');
    });

    t.test('a wrong command line', async (t) => {
      const cases: [string, string[], RegExp][] = [
        [world.script('monitor'), [], /0 arguments given, expected 1 \(DS_ID\)/],
        [world.script('monitor'), ['100', '101'], /2 arguments given, expected 1 \(DS_ID\)/],
        [world.script('monitor'), ['100', '--nonsense'], /nonsense/],
        [world.script('monitor'), ['100', '--message'], /message/],
        [world.script('ls'), ['-i'], /-i|\bi\b/],
        [world.script('ls'), ['-i', 'x'], /INCREMENT_ID is "x"/],
        [world.script('backup'), ['host1:/d', '0'], /expected 6 \(/],
        ...world.downloaders.map((script): [string, string[], RegExp] => [script, [], /expected 1 \(URL/]),
      ];
      for (const [script, args, says] of cases) {
        const stdin = script === world.script('ls') ? call('ls').stdin : world.message('monitor');
        const { code, stdout, stderr } = await world.run(script, args, stdin);
        t.strictSame([code, stdout], [2, ''], `${script} ${args}`);
        t.match(stderr, /^[\x20-\x7e]+\n$/, `${script} ${args}`);
        t.match(stderr, says);
      }
    });

    if (!hasServer) return;
    t.test('--message FILE stands for stdin, in XML or base64', async (t) => {
      const { script, args, stdin } = call('ls');
      const piped = await world.run(script, args, stdin);
      t.equal(piped.code, 0);
      for (const text of [stdin, Buffer.from(stdin).toString('base64')]) {
        const file = join(world.folder, 'message');
        writeFileSync(file, text);
        for (const argv of [
          [...args, '--message', file],
          [`--message=${file}`, ...args],
        ]) {
          t.strictSame(await world.run(script, argv, 'not read'), piped, argv.join(' '));
        }
      }
      const missing = await world.run(script, [...args, '--message', '/nowhere/at all'], '');
      t.strictSame([missing.code, missing.stdout], [6, '']);
      t.match(missing.stderr, /^cannot read the message from \/nowhere\/at all: [^\n]*\n$/);
    });

    t.test('--verbose tells what is done, in lines for the log', async (t) => {
      const nothing = [{ id: 0, source: '0a1b2c3d' }];
      const rm = (options: readonly string[], edit?: (text: string) => string): Promise<Ended> =>
        world.run(world.script('rm'), ['6', ...options], world.imageMessage('rm-increments', 1, nothing, edit));
      const quiet = await rm([]);
      const told = await rm(['--verbose']);
      t.strictSame([quiet.code, told.code, told.stdout], [0, 0, quiet.stdout], 'the answer is the same');
      const program = { restic: 'restic .*prune', rsync: 'sh', zfs: 'zfs list' }[driver];
      t.match(told.stderr, new RegExp(`^DEBUG: .*server: ${program} `, 'm'));
      t.match(told.stderr, /^((DEBUG|INFO): [^\n0-9][\x20-\x7e]*\n)+$/);
      t.notMatch(told.stderr, world.password);
      const failed = await rm(['--verbose'], (text) => text.replace('<DS_MAD>', '<DS_MUD>'));
      t.not(failed.code, 0);
      const plain = failed.stderr.split('\n').filter((line) => line !== '' && !/^(INFO|DEBUG): /.test(line));
      t.equal(plain.length, 1, 'and the user still gets one line');
    });

    t.test('when nobody reads the answer, an action fails without a crash', async (t) => {
      for (const one of calls().filter(({ script }) => !/backup|rm|flatten/.test(script))) {
        t.equal((await unread(one)).code, ERROR_KINDS.oned.exitCode, one.script);
      }
      const plan = call('increment_flatten');
      t.not((await unread({ ...plan, args: [...plan.args, '--dry-run'] })).code, 1, '--dry-run does not crash');
      t.not((await unread({ ...plan, args: ['--help'] })).code, 0, '--help');
      t.equal((await unread({ ...call('monitor'), args: ['99'] })).code, ERROR_KINDS.message.exitCode, 'a failure');
    });

    t.test('a backup whose answer nobody read leaves no snapshot', async (t) => {
      const { stored, leftovers } = world.traits;
      const before = stored(world.repository(vm.id));
      t.equal(before.length, 3);
      t.equal((await unread(call('backup'))).code, ERROR_KINDS.oned.exitCode);
      t.strictSame(stored(world.repository(vm.id)), before);
      t.strictSame(leftovers(world.repository(vm.id)), []);
    });
  });
}
