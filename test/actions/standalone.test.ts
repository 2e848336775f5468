import { spawn, spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { BackedUpVm } from '../helpers/backed-up-vm';
import { difference } from '../helpers/disk';
import { UNDER_TEST } from '../helpers/drivers';
import { type Ended, type FrontEndWorld, startFrontEnd } from '../helpers/front-end';

let world: FrontEndWorld;
let elsewhere: string;

/** Runs a program with three variables and nothing else, from a folder that is not its own. */
function runAlone(program: string, args: readonly string[], stdin: string, target?: string): Promise<Ended> {
  const { HOME: _home, PATH } = world.env;
  const env = [`HOME=${join(elsewhere, 'home')}`, `PATH=${PATH}`, 'LANG=C'];
  const line = target === undefined ? '"$0" "$@"' : `"$0" "$@" > ${target}`;
  const words = ['-i', ...env, 'bash', '-c', line, program, ...args];
  const child = spawn('env', words, { cwd: '/', stdio: 'pipe' });
  const [out, err]: [Buffer[], Buffer[]] = [[], []];
  child.stdout.on('data', (chunk) => out.push(chunk));
  child.stderr.on('data', (chunk) => err.push(chunk));
  child.stdin.on('error', () => {});
  child.stdin.end(stdin);
  return new Promise((resolve) =>
    child.on('close', (code, signal) =>
      resolve({ code, signal, stdout: Buffer.concat(out).toString(), stderr: Buffer.concat(err).toString() }),
    ),
  );
}

/** Runs a script of the lone copy. */
const run = (script: string, args: readonly string[], stdin: string): Promise<Ended> =>
  runAlone(join(elsewhere, 'datastore', script), args, stdin);

for (const driver of UNDER_TEST) {
  t.test(driver, async (t) => {
    world = await startFrontEnd({ driver });
    elsewhere = mkdtempSync(join(tmpdir(), 'one-backup-alone-'));
    cpSync(world.built, join(elsewhere, 'datastore'), { recursive: true });
    mkdirSync(join(elsewhere, 'home', '.one'), { recursive: true });
    writeFileSync(join(elsewhere, 'home', '.one', 'one_endpoint'), `${world.oned.endpoint}\n`);
    cpSync(join(world.folder, 'one_auth'), join(elsewhere, 'home', '.one', 'one_auth'));
    t.teardown(async () => {
      rmSync(elsewhere, { recursive: true, force: true });
      await world.stop();
    });

    t.test('nothing of the project is near the copy', async (t) => {
      const files = readdirSync(join(elsewhere, 'datastore'), { recursive: true, encoding: 'utf8' });
      t.strictSame(
        files.filter((name) => /\.ts$|node_modules|package\.json|\blib\b/.test(name)),
        [],
      );
      for (let folder = elsewhere; folder !== '/'; folder = join(folder, '..')) {
        t.notOk(existsSync(join(folder, 'node_modules')), folder);
      }
    });

    t.test('the whole life of a backup', async (t) => {
      const vm = new BackedUpVm(world, 1, { disks: 1 });
      const { source } = world.traits;
      const answer = async (script: string, args: readonly string[], stdin: string, form: RegExp): Promise<string> => {
        const { code, stdout, stderr } = await run(script, args, stdin);
        t.strictSame([code, stderr], [0, ''], script);
        t.match(stdout, form, script);
        return stdout;
      };
      await answer(
        world.script('monitor'),
        ['100'],
        world.message('monitor'),
        /^USED_MB=\d+\nTOTAL_MB=\d+\nFREE_MB=\d+\n$/,
      );
      const chain: { id: number; source: string }[] = [];
      for (let id = 0; id < 3; id++) {
        vm.stage(id);
        const { code, stdout, stderr } = await run(world.script('backup'), ...vm.call(id));
        t.equal(code, 0, stderr);
        chain.push({ id, source: stdout.split(' ')[0] as string });
      }
      vm.chain.push(...chain);
      const image = (name: 'ls-i2' | 'increment_flatten' | 'rm-increments'): string =>
        world.imageMessage(name, 1, chain);
      const listed = await answer(
        world.script('ls'),
        ['-i', '-1'],
        image('ls-i2'),
        new RegExp(`^\\{"0":"${world.traits.scheme}:`),
      );
      const url = JSON.parse(listed)['0'] as string;
      world.serveDatastore();
      for (const downloader of world.downloaders)
        await answer(downloader, [url], '', /^command="[^"]+"\nclean_command="[^"]+"\n$/);
      const target = join(world.folder, 'disk');
      const [reader, ...words] = world.reading(url);
      const streamed = await runAlone(reader.replace(world.built, join(elsewhere, 'datastore')), words, '', target);
      t.strictSame([streamed.code, streamed.stderr], [0, '']);
      t.equal(difference(target, vm.disks[0]?.at('2') as string), undefined);
      await answer(
        world.script('increment_flatten'),
        ['6'],
        image('increment_flatten'),
        new RegExp(`^\\d+ 1:${source},2:${source}\\n$`),
      );
      await answer(world.script('rm'), ['6'], image('rm-increments'), /^$/);
    });

    t.test('what runs needs nothing that was loaded from elsewhere', async (t) => {
      for (const name of readdirSync(join(elsewhere, 'datastore', driver))) {
        const { code, stderr } = await run(world.script(name), ['--help'], '');
        t.strictSame([code, stderr], [0, ''], name);
      }
    });
  });
}

t.test('a folder that was removed under its user stops nobody', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'one-backup-gone-'));
  for (const script of ['restic/monitor', 'backupctl', 'restic_downloader.rb']) {
    mkdirSync(folder, { recursive: true });
    const line = `cd '${folder}' && rmdir '${folder}' && exec "$0" --help`;
    const built = join(__dirname, '..', '..', 'remotes', 'datastore', script);
    const { status, stdout, stderr } = spawnSync('sh', ['-c', line, built], { encoding: 'utf8' });
    t.same([status, stderr], [0, ''], script);
    t.match(stdout, /--help/, script);
  }
});
