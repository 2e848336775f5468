import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, watch, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { ofActions } from '../faults/processes-of';
import { BackedUpVm, TPM_STATE } from '../helpers/backed-up-vm';
import { difference } from '../helpers/disk';
import { FOLDER_DRIVERS } from '../helpers/drivers';
import { type Ended, type FrontEndWorld, startFrontEnd } from '../helpers/front-end';
import { until } from '../helpers/waits';

const SHELL = join(__dirname, '..', 'helpers', 'downloader.sh');
let world: FrontEndWorld;
let vm: BackedUpVm;
let target: string;
/** Where the shell stands: full of names that an unquoted `*` would turn into words. */
let here: string;

/** Downloads a URL as the front-end does: both evaluations, then the clean-up. */
function download(url: string, more: NodeJS.ProcessEnv = {}): Promise<Ended & { told: Record<string, string> }> {
  rmSync(target, { force: true });
  const child = spawn('bash', [SHELL, world.varDir, url, target], { cwd: here, env: { ...world.env, ...more } });
  const [out, err]: [Buffer[], Buffer[]] = [[], []];
  child.stdout.on('data', (chunk) => out.push(chunk));
  child.stderr.on('data', (chunk) => err.push(chunk));
  return new Promise((resolve) =>
    child.on('close', (code, signal) => {
      const [stdout, stderr] = [Buffer.concat(out).toString(), Buffer.concat(err).toString()];
      const told = Object.fromEntries(
        stdout.split('\n').map((line) => [line.split(' ')[0], line.replace(/^\S+ ?/, '')]),
      );
      resolve({ code, signal, stdout, stderr, told });
    }),
  );
}

/** Runs a line of bash in a process group of its own, and returns what it printed. */
function bash(line: string, args: readonly string[]): Promise<string> {
  const stdio = ['ignore', 'pipe', 'ignore'] as const;
  const child = spawn('bash', ['-c', line, ...args], { env: world.env, detached: true, stdio: [...stdio] });
  let printed = '';
  child.stdout?.on('data', (chunk) => {
    printed += chunk;
  });
  return new Promise((resolve) => child.on('close', () => resolve(printed)));
}

/** Waits until the temporary folder is empty: what ends there by itself has some seconds for it. */
async function emptied(): Promise<string[]> {
  for (let waited = 0; waited < 60_000 && readdirSync(world.temporary).length > 0; waited += 100) await sleep(100);
  return readdirSync(world.temporary);
}

for (const driver of FOLDER_DRIVERS) {
  t.test(driver, async (t) => {
    world = await startFrontEnd({ driver });
    t.teardown(() => world.stop());
    target = join(world.folder, 'downloaded');
    here = join(world.folder, 'here');
    mkdirSync(here);
    for (const name of ['command=', 'a b', 'disk.0.0', '--stream']) writeFileSync(join(here, name), '');
    // More than the sniffing takes, so that it breaks the stream off.
    vm = new BackedUpVm(world, 1, { tpm: true, diskBytes: 64 * 2 ** 20, clusters: 400 });
    for (let increment = 0; increment < 3; increment++) await vm.backUp();
    world.serveDatastore();
    const [datastore = ''] = Object.values(world.oned.behaviour.datastores ?? {});
    const foreign = datastore.replace(`<DS_MAD><![CDATA[${driver}]]>`, '<DS_MAD><![CDATA[other]]>');
    world.oned.behaviour = { datastores: { 100: datastore, 101: foreign.replace('<ID>100</ID>', '<ID>101</ID>') } };

    t.test('a full backup streams twice, and no byte of it is written anywhere else', async (t) => {
      const temporary = join(world.folder, 'TMPDIR');
      mkdirSync(temporary);
      const written: string[] = [];
      const watchers = [world.temporary, temporary].map((folder) =>
        watch(folder, { recursive: true }, (event, name) => written.push(`${event} ${folder} ${name}`)),
      );
      const { code, stderr, told } = await download(vm.url(0, 0), { TMPDIR: temporary });
      await sleep(100);
      for (const watcher of watchers) watcher.close();
      t.equal(code, 0, stderr);
      t.match(told.type, /qemu|octet-stream/);
      t.strictSame([told.status, told.clean], ['0', '0']);
      t.equal(difference(target, vm.disks[0]?.at('0') as string), undefined);
      t.strictSame(written, [], 'no event in the temporary folders');
      t.strictSame(world.traits.leftovers(world.repository(1)), [], 'and nothing stays, though the sniffing broke off');
    });

    t.test('a chain is merged, and nothing of that stays', async (t) => {
      for (const [disk, increment] of [
        [0, 2],
        [1, 1],
      ] as const) {
        const { code, stderr, told } = await download(vm.url(disk, increment));
        t.equal(code, 0, stderr);
        t.match(told.type, /qemu|octet-stream/);
        t.strictSame([told.status, told.clean], ['0', '0']);
        t.equal(difference(target, vm.disks[disk]?.at(String(increment)) as string), undefined);
        const { blocks } = statSync(target);
        t.ok(blocks * 512 < 64 * 2 ** 20, 'it is no larger than what it holds');
        t.strictSame(await emptied(), []);
      }
    });

    t.test('the state of the TPM', async (t) => {
      const { code, stderr } = await download(vm.url('tpm'));
      t.equal(code, 0, stderr);
      t.strictSame(readFileSync(target), TPM_STATE);
    });

    t.test('what is printed holds no secret, and nothing but the script and one word', async (t) => {
      const { stdout, stderr, code } = await world.run(world.downloader, [vm.url(0)], '');
      t.strictSame([code, stderr], [0, '']);
      const script = join(world.built, world.downloader);
      const word = '[A-Za-z0-9_-]+';
      t.match(
        stdout,
        new RegExp(`^command="${script} --stream ${word}"\nclean_command="${script} --clean ${word}"\n$`),
      );
    });

    t.test('no URL makes the shell do anything', async (t) => {
      const trap = join(world.folder, 'trap');
      const [chain, dir] = [`0:${vm.chain[0]?.source}`, vm.staging];
      const parts = ["it's", '"', `$(touch ${trap})`, `\`touch ${trap}\``, `;touch ${trap};`, `' ; touch ${trap} ; '`];
      const paths = [...parts, '*', 'a  b', '\\', '$HOME', '&', '|', '>x', '(', '#', '!!', '--all', 'ä', '%41', '~'];
      const printed =
        /^command="[^"\\$`' ]+ --stream [A-Za-z0-9_-]+"\nclean_command="[^"\\$`' ]+ --clean [A-Za-z0-9_-]+"\n$/;
      const urlOf = (part: string): string => `${driver}://100//${chain}/${part}${dir}/disk.7.0`;
      for (const part of paths) {
        const { code, stdout } = await world.run(world.downloader, [urlOf(part)], '');
        t.equal(code, 0, part);
        t.match(stdout, printed, part);
      }
      // A well-formed URL of a disk that is not stored: the command must be what fails, by itself.
      const { code, told } = await download(urlOf(paths.join('/')));
      t.strictSame([code, 'clean' in told], [1, false], 'no clean-up after a failure');
      for (const part of [`\n touch ${trap}\n`, `\ncommand="touch ${trap}"`, '\x01', '\x7f', '..']) {
        const refused = await download(`${driver}://100//${chain}/${part}/1/backup/disk.0.0`);
        t.strictSame(
          [refused.code, refused.told.command, refused.told.status],
          [1, 'false', '1'],
          JSON.stringify(part),
        );
      }
      t.notOk(existsSync(trap), 'nothing was executed');
      t.strictSame(readdirSync(here).sort(), ['--stream', 'a b', 'command=', 'disk.0.0'], 'nothing was written');
    });

    t.test('a command that cannot work is never an empty disk', async (t) => {
      const gone = vm.url(0, 0).replace(/0:[0-9a-f]+/, '0:00000000');
      const other = driver === 'restic' ? 'rsync' : 'restic';
      const cases: [string, string, RegExp][] = [
        ['another driver', vm.url(0).replace(`${driver}:`, `${other}:`), new RegExp(`DS_MAD "${driver}"`)],
        ['a datastore that is not there', vm.url(0).replace('//100/', '//999/'), /Error getting datastore \[999\]/],
        ['a datastore of another driver', vm.url(0).replace('//100/', '//101/'), /DS_MAD "other"/],
        ['a snapshot that is gone', gone, /is gone/],
        ['a chain that is broken', vm.url(0).replace(/1:[0-9a-f]+/, '1:00000000'), /increment 1 of VM 1 is gone/],
        ['no disk', vm.url(0, 0).replace('disk.0.0', 'disk.7.0'), /holds no disk 7/],
      ];
      for (const [name, url, says] of cases) {
        const { code, stderr, told } = await download(url);
        t.not(code, 0, name);
        t.not(told.status, '0', name);
        t.match(stderr, says, name);
      }
      t.strictSame(await emptied(), []);
    });

    t.test('whatever ends a download, nothing of it stays', async (t) => {
      const script = join(world.built, world.downloader);
      // Broken off by its reader and cleaned up: what was kept for the second evaluation goes.
      const broken = 'unset NODE_OPTIONS; "$0" --stream "$1" | head -c 1000 >/dev/null';
      const kept = await bash(`${broken}; ls "$2"; "$0" --clean "$1"`, [script, vm.url(0), world.temporary]);
      t.match(kept, /^one-backup-shelf-\S+\n$/, 'the merged disk is kept for the second evaluation');
      t.strictSame(readdirSync(world.temporary), []);

      // Killed at several moments: nobody can clean up but the folder's keeper.
      for (const delayMs of [400, 1200, 2000]) {
        const { child, ended } = world.start(world.downloader, ['--stream', vm.url(0)], '');
        await sleep(delayMs);
        child.kill('SIGKILL');
        await ended;
        t.strictSame(await emptied(), [], `killed after ${delayMs} ms`);
      }

      // Broken off, and never cleaned up: here the keeper of the shelf removes it once the process group is gone.
      await bash(broken, [script, vm.url(0)]);
      if (driver === 'restic') return void t.strictSame(await emptied(), [], 'not cleaned up');
      // On a server it cannot see that group, and removes the disk when its time is over.
      const [shelf = ''] = readdirSync(world.temporary);
      const keepers = () =>
        ofActions(world.ssh.folder).filter(({ argv }) => argv.includes(join(world.temporary, shelf)));
      t.equal(keepers().length, 1, 'somebody keeps it');
      await bash('unset NODE_OPTIONS; "$0" --clean "$1"', [script, vm.url(0)]);
      t.ok(await until(() => keepers().length === 0), 'until it is gone');
      t.strictSame(readdirSync(world.temporary), []);
    });
  });
}
