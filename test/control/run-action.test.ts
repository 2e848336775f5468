import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { ERROR_KINDS } from '../../lib/errors';
import { BackedUpVm } from '../helpers/backed-up-vm';
import { FOLDER_DRIVERS } from '../helpers/drivers';
import { deployId, type Ended, type FrontEndWorld, startFrontEnd } from '../helpers/front-end';

let world: FrontEndWorld;
let file: string;
const backupctl = (...args: string[]): Promise<Ended> => world.run('backupctl', args, '');
/** An action on the datastore of FILE, which oned is not asked for. */
const run = (action: string, ...args: string[]): Promise<Ended> =>
  backupctl('run', action, file, '--base-path', world.datastore, ...args);

function writeTemplate(): string {
  const [, attributes = ''] = /<TEMPLATE>(\s*<DS_MAD>[\s\S]*?)<\/TEMPLATE>/.exec(world.message('ls-i2')) ?? [];
  const pairs = [...attributes.matchAll(/<([A-Z_]+)><!\[CDATA\[([\s\S]*?)\]\]>/g)];
  const lines = pairs.map(([, name, value = '']) => `${name} = "${value.replaceAll('"', '\\"')}"\n`);
  const path = join(world.folder, 'backups.ds');
  writeFileSync(path, `NAME = "backups"\n${lines.join('')}`, { mode: 0o600 });
  return path;
}

for (const driver of FOLDER_DRIVERS) {
  t.test(driver, async (t) => {
    world = await startFrontEnd({ driver });
    t.teardown(() => world.stop());
    file = writeTemplate();
    world.traits.init(world.repository(1), { ...world.env, RESTIC_PASSWORD: world.password });
    const vm = new BackedUpVm(world, 1, { disks: 1 });
    const about = ['--vm', '1', '--host', 'host1', '--dir', world.staging(1), '--deploy-id', deployId(1)];
    const sources: string[] = [];
    let url = '';

    t.test('the life of a backup, from the template alone', async (t) => {
      t.match(await run('monitor'), {
        code: 0,
        stdout: /^USED_MB=[0-9]+\nTOTAL_MB=[0-9]+\nFREE_MB=[0-9]+\n$/,
        stderr: '',
      });
      for (const increment of [0, 1]) {
        vm.stage(increment);
        const more = increment === 0 ? [] : ['--increment', '1', '--image', '6'];
        const { code, stdout, stderr } = await run('backup', ...about, '--disk', '0', ...more);
        t.equal(code, 0, stderr);
        t.match(stdout, new RegExp(`^${world.traits.source} [0-9]+ raw\\n$`));
        sources.push(stdout.split(' ')[0] ?? '');
      }
      const chain = ['--vm', '1', '--image', '6', '--source', `0:${sources[0]},1:${sources[1]}`];
      const listed = await run('ls', ...chain);
      url = JSON.parse(listed.stdout)['0'];
      t.match(url, `0:${sources[0]},1:${sources[1]}`, 'both are of one chain');
      const first = JSON.parse((await run('ls', ...chain, '--increment', '0')).stdout)['0'];
      t.match(first, `//0:${sources[0]}/`);
      t.match(await run('stat', '--url', url), { code: 0, stdout: /^[0-9]+\n$/ });
      const restored = await run('restore', ...chain, '--destination', '101', '--name', 'again', '--username', 'carol');
      t.match(restored, { code: 0, stdout: /^7 40\n$/ }, restored.stderr);
      t.match(
        world.oned.calls.filter(({ user }) => user === 'carol').map(({ method }) => method),
        [...['one.image.allocate', 'one.template.allocate']],
      );
    });

    t.test('the script itself: --dry-run, --verbose, its exit code, words for it', async (t) => {
      const before = world.traits.stored(world.repository(1));
      const chain = ['--vm', '1', '--image', '6', '--source', `0:${sources[0]},1:${sources[1]}`];
      t.match(await run('rm', ...chain, '--dry-run'), { code: 0, stdout: /Nothing was done \(--dry-run\)\.\n$/ });
      t.match(await run('monitor', '--', '--dry-run'), { code: 0, stdout: /Nothing was done/ });
      const gone = await run('ls', '--verbose', '--vm', '1', '--source', '0123456789ab'.slice(0, sources[0]?.length));
      t.match(gone.stderr, /^DEBUG: /m);
      t.strictSame([gone.code, gone.stdout], [ERROR_KINDS.notFound.exitCode, '']);
      t.strictSame(world.traits.stored(world.repository(1)), before);
    });

    t.test('--print shows message and command, no secret, and runs nothing', async (t) => {
      const logins = world.ssh.connections();
      const { code, stdout, stderr } = await run('monitor', '--print');
      t.strictSame([code, stderr], [0, '']);
      t.match(
        stdout,
        /^stdin \(in base64, on one line\):\n<DS_DRIVER_ACTION_DATA>\n {2}<DATASTORE>\n {4}<ID>100<\/ID>\n/,
      );
      t.ok(stdout.endsWith(`command:\n${join(world.built, driver, 'monitor')} 100\n`));
      t.notMatch(stdout, world.password.slice(0, 8));
      if (driver === 'restic') t.match(stdout, '<RESTIC_PASSWORD><![CDATA[***]]></RESTIC_PASSWORD>');
      const misspelt = 'RESTIC_PASSWD = "oops-1"\nMY_TOKENS = [ ONE = "oops-2" ]\nNOTE = "shown"\n';
      const other = join(world.folder, 'misspelt.ds');
      writeFileSync(other, readFileSync(file, 'utf8') + misspelt, { mode: 0o600 });
      const masked = await backupctl('run', 'monitor', other, '--base-path', world.datastore, '--print');
      t.match(masked.stdout, '<RESTIC_PASSWD><![CDATA[***]]></RESTIC_PASSWD>');
      t.match(masked.stdout, 'shown');
      t.notMatch(masked.stdout, 'oops');
      t.equal(world.ssh.connections(), logins);
    });

    t.test('what destroys is not done without --yes', async (t) => {
      const chain = ['--vm', '1', '--image', '6', '--source', `0:${sources[0]},1:${sources[1]}`];
      for (const [action, ...args] of [
        ['rm', ...chain],
        ['increment_flatten', ...chain],
        ['backup_cancel', ...about],
      ] as string[][]) {
        const { code, stderr } = await run(...([action, ...args] as [string]));
        t.equal(code, ERROR_KINDS.usage.exitCode);
        t.match(stderr, /do it with --yes/);
      }
      t.equal(world.traits.stored(world.repository(1)).length, 2);
      t.match(await run('backup_cancel', ...about, '--yes'), { code: 0, stdout: '' }, 'with no such backup');
      const flat = await run('increment_flatten', ...chain, '--keep-last', '1', '--yes');
      t.match(flat, { code: 0, stdout: new RegExp(`^[0-9]+ 1:${world.traits.source}\\n$`) }, flat.stderr);
      const [, merged = ''] = flat.stdout.trim().split('1:');
      t.match(await run('rm', '--vm', '1', '--image', '6', '--source', merged, '--increment', '1', '--yes'), {
        code: 0,
        stdout: '',
      });
      t.strictSame(world.traits.stored(world.repository(1)), []);
    });

    t.test('by its id, from oned; a wrong call', async (t) => {
      world.serveDatastore();
      t.match(await backupctl('run', 'monitor', '100'), { code: 0, stdout: /^USED_MB=/ });
      t.match(await backupctl('run', 'monitor', '999'), { code: ERROR_KINDS.oned.exitCode, stdout: '', stderr: /999/ });
      const usage = ERROR_KINDS.usage.exitCode;
      t.match(await backupctl('run', 'monitor', '100', '--id', '3'), { code: usage, stderr: /--id is for a FILE/ });
      t.match(await backupctl('run', 'monitor', file), { code: usage, stderr: /give its --id N/ });
      t.match(await backupctl('run', 'monitr', '100'), { code: usage, stderr: /Did you mean monitor\?/ });
      t.match(await run('stat'), { code: usage, stderr: /--url is missing/ });
      t.notOk(existsSync(join(world.folder, 'core')));
    });
  });
}
