import { once } from 'node:events';
import { chmodSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import t from 'tap';
import { ERROR_KINDS } from '../../lib/errors';
import { version } from '../../package.json';
import { FOLDER_DRIVERS } from '../helpers/drivers';
import { type Ended, type FrontEndWorld, startFrontEnd } from '../helpers/front-end';
import { withText } from '../helpers/messages';

let world: FrontEndWorld;
const backupctl = (...args: string[]): Promise<Ended> => world.run('backupctl', args, '');

/** Writes the template of the world's datastore, with more lines. */
function template(name: string, more = ''): string {
  const quoted = (value: string): string => `"${value.replaceAll('"', '\\"')}"`;
  const attributes = { NAME: name, TYPE: 'BACKUP_DS', DS_MAD: world.driver, TM_MAD: '-', ...world.attributes };
  const lines = Object.entries(attributes).map(([key, value]) => `${key} = ${quoted(value)}\n`);
  const file = join(world.folder, `${name}.ds`);
  writeFileSync(file, `# made by a test\n${lines.join('')}${more}`, { mode: 0o600 });
  return file;
}

/** Makes oned answer the datastore that it has, and those that it is going to create, which share a folder. */
function serve(): void {
  world.serveDatastore();
  const known = world.oned.behaviour.datastores?.[100] as string;
  const folder = join(world.folder, 'server', 'datastores', '104');
  const created = withText(withText(known, '', 'NAME', 'other'), '', 'BASE_PATH', folder);
  const next = [104, 105, 106, 107].map((id) => [id, withText(created, '', 'ID', String(id))]);
  world.oned.behaviour = { datastores: { 100: known, ...Object.fromEntries(next) } };
}

for (const driver of FOLDER_DRIVERS) {
  t.test(driver, async (t) => {
    world = await startFrontEnd({ driver });
    t.teardown(() => world.stop());

    t.test('lint: findings on stdout, exit code 1 for errors only', async (t) => {
      const good = template('good');
      t.match(await backupctl('lint', good), { code: 0, stdout: `${good}: ok\n`, stderr: '' });
      const noted = template('noted', 'MY_OWN_NOTE = "x"\n');
      t.match(await backupctl('lint', noted), { code: 0, stdout: /noted\.ds:[0-9]+:1: warning: .*\. .*\.\n$/ });
      const bad = template('bad', `${world.traits.named.stall} = 5\nBRIGE_LIST = h\n`);
      const { code, stdout, stderr } = await backupctl('lint', good, bad);
      t.strictSame([code, stderr], [1, '']);
      t.match(stdout, /bad\.ds:[0-9]+:[0-9]+: error: .*STALL_LIMIT is "5", it must be a whole number/);
      t.match(stdout, /bad\.ds:[0-9]+:1: error: nobody reads BRIGE_LIST\. Did you mean BRIDGE_LIST\?/);
      const { files, errors, warnings } = JSON.parse((await backupctl('lint', '--json', good, bad)).stdout);
      t.strictSame([errors, warnings, files.length, files[0]], [2, 0, 2, { file: good, findings: [] }]);
      t.match(files[1].findings[1], { column: 1, severity: 'error', attribute: 'BRIGE_LIST', hint: /BRIDGE_LIST/ });
      const none = `${good}.none`;
      t.match(await backupctl('lint', bad, none, world.folder, good), {
        code: 1,
        stdout:
          /nobody reads BRIGE_LIST[\s\S]*\.none:1:1: error: .* does not exist\. .*\n.*EISDIR.*\n.*good\.ds: ok\n$/,
        stderr: '',
      });
      const some = JSON.parse((await backupctl('lint', '--json', good, none)).stdout);
      t.match(some, { errors: 1, files: [{ findings: [] }, { findings: [{ what: /does not exist/ }] }] });
      t.match(await backupctl('register', none), { code: ERROR_KINDS.notFound.exitCode, stderr: /does not exist/ });
    });

    if (driver === 'restic')
      t.test('lint: who could read the secrets', async (t) => {
        const file = template('open');
        chmodSync(file, 0o644);
        t.match(await backupctl('lint', file), {
          code: 0,
          stdout: /warning: everybody .* read RESTIC_PASSWORD .*Run chmod o-rwx \S+ here\.$/m,
        });
        chmodSync(file, 0o600);
        const etc = join(world.folder, 'one', 'etc');
        mkdirSync(etc);
        t.teardown(() => rmSync(etc, { recursive: true })); // such a front-end would not do to register
        writeFileSync(
          join(etc, 'oned.conf'),
          '# conf\nDATASTORE_ENCRYPTED_ATTR = "OTHER"\nDB = [ BACKEND = "sqlite" ]\n',
        );
        t.match(await backupctl('lint', file), {
          code: 0,
          stdout: /warning: oned would store RESTIC_PASSWORD unencrypted/,
        });
        writeFileSync(join(etc, 'oned.conf'), 'DATASTORE_ENCRYPTED_ATTR = "RESTIC_PASSWORD"\n');
        t.match(await backupctl('lint', file), { code: 0, stdout: /open\.ds: ok\n$/ });
      });

    t.test('register: tells oned, prints the id, makes the folder; what is there stays', async (t) => {
      serve();
      const file = template('fresh', 'NOTE = "says \\"hi\\"\nin two lines"\n');
      const folder = join(world.folder, 'server', 'datastores', '104');
      const { code, stdout, stderr } = await backupctl('register', '--cluster', '7', file);
      t.strictSame([code, stdout], [0, '104\n'], stderr);
      const call = world.oned.calls.find(({ method }) => method === 'one.datastore.allocate');
      t.match(call, { user: 'oneadmin', via: 'plain' });
      t.match(call?.params, [/NAME = "fresh"\n[\s\S]*NOTE = "says \\"hi\\"\nin two lines"\n/, 7]);
      t.match(stderr, /warning: .*NOTE/);
      t.ok(existsSync(folder), 'the folder of the datastore');
      writeFileSync(join(folder, 'mark'), 'x');
      t.match(await backupctl('register', template('fresh2')), { code: 0, stdout: /^[0-9]+\n$/ }, 'another one');
      t.equal(readFileSync(join(folder, 'mark'), 'utf8'), 'x');
    });

    t.test('register: nothing is done with an error, with --print, and for a name that is taken', async (t) => {
      serve();
      const calls = world.oned.calls.length;
      const bad = template('bad', 'LIMIT_MB = x\n');
      t.match(await backupctl('register', bad), { code: 1, stdout: '', stderr: /bad\.ds:[0-9]+:12: error: LIMIT_MB/ });
      const file = template('with blank');
      t.match(await backupctl('register', '--print', file, '--cluster', '3'), {
        code: 0,
        stdout: `onedatastore create '${file}' --cluster 3\n`,
      });
      t.equal(world.oned.calls.length, calls, 'oned was not asked');
      const { code, stdout, stderr } = await backupctl('register', template('backups'));
      t.strictSame([code, stdout], [ERROR_KINDS.config.exitCode, '']);
      t.match(stderr, /datastore 100 has the NAME "backups" already/);
      t.notOk(world.oned.calls.slice(calls).some(({ method }) => method === 'one.datastore.allocate'));
    });

    t.test('register: what oned says is passed on; a server that cannot be reached spoils nothing', async (t) => {
      serve();
      const nth = world.oned.calls.filter(({ method }) => method === 'one.datastore.allocate').length + 1;
      world.oned.behaviour = {
        ...world.oned.behaviour,
        refuse: { method: 'one.datastore.allocate', nth, message: 'No, thanks.' },
      };
      const refused = await backupctl('register', template('refused'));
      t.match(refused, {
        code: ERROR_KINDS.oned.exitCode,
        stdout: '',
        stderr: /oned refused one\.datastore\.allocate: No, thanks/,
      });
      const gone = world.oned.behaviour.datastores as Record<number, string>;
      const nowhere = Object.fromEntries(
        Object.entries(gone).map(([id, xml]) => [
          id,
          xml.replaceAll('<![CDATA[server]]>', '<![CDATA[nowhere.invalid]]>'),
        ]),
      );
      world.oned.behaviour = { datastores: nowhere };
      const { code, stdout, stderr } = await backupctl('register', template('unreachable'));
      t.match(stdout, /^10[0-9]\n$/, 'the id');
      t.equal(code, ERROR_KINDS.unreachable.exitCode);
      t.match(stderr, /datastore 10[0-9] is registered, but not prepared on the backup server: .*nowhere/);
    });
  });
}

t.test('the program alone', async (t) => {
  world = await startFrontEnd({ names: ['server'] });
  t.teardown(() => world.stop());
  t.match(await backupctl('--version'), { code: 0, stdout: `backupctl ${version}\n` });
  t.match(await backupctl('--help'), { code: 0, stdout: /Subcommands:\n {2}lint / });
  t.match(await backupctl('lint', '--help'), { code: 0, stdout: /Examples:/, stderr: '' });
  t.match(await backupctl(), { code: 2, stdout: '', stderr: /no subcommand/ });
  t.match(await backupctl('lnit'), { code: 2, stdout: '', stderr: /Did you mean lint\?/ });
  const file = template('quick');
  const deaf = createServer(() => waiting.child.kill('SIGINT')).listen(0, '127.0.0.1');
  t.teardown(() => deaf.close());
  await once(deaf, 'listening');
  const endpoint = `http://127.0.0.1:${(deaf.address() as AddressInfo).port}/RPC2`;
  const waiting = world.start('backupctl', ['register', file], '', { ONE_XMLRPC: endpoint });
  t.match(await waiting.ended, { code: 14, stdout: '', stderr: /^backupctl register was cancelled \(SIGINT\)\.?\n$/ });
  const piped = world.start('backupctl', ['completion', 'bash'], '');
  piped.child.stdout?.destroy();
  t.equal((await piped.ended).code, 0, 'a reader that has seen enough');
});
