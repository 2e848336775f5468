import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { BackedUpVm } from '../helpers/backed-up-vm';
import { DRIVERS, UNDER_TEST } from '../helpers/drivers';
import { type Ended, type FrontEndWorld, startFrontEnd } from '../helpers/front-end';
import { type MessageName, realMessage, withAdded, withText } from '../helpers/messages';

interface Call {
  readonly name: MessageName;
  readonly driver: string;
  readonly action: string;
  readonly argv: readonly string[];
  readonly stdin: 'raw' | 'base64';
}

const INDEX = join(__dirname, '..', 'fixtures', 'oned-messages', 'index.json');
const CALLS = (JSON.parse(readFileSync(INDEX, 'utf8')) as Call[]).filter(({ driver }) => driver === 'datastore');
const TAKEN = 'localhost:/var/lib/one//datastores/102/1';

let world: FrontEndWorld;
let vm: BackedUpVm;
let sources: Record<string, string> = {};
const unused = new Set<MessageName>();

/** Sends a message as oned sent it: only paths, datastore and the names of snapshots are those of this test. */
async function send(
  name: MessageName,
  edit = (text: string) => text,
  encoding: 'as oned' | 'the other' = 'as oned',
): Promise<Ended> {
  unused.delete(name);
  const call = CALLS.find((one) => one.name === name);
  if (call === undefined) throw new Error(`oned sent no ${name}`);
  const argv = call.argv.map((word) => word.replace(TAKEN, `localhost:${world.staging(1).replace('/102/', '//102/')}`));
  const known = (text: string): string =>
    Object.entries(sources).reduce((edited, [taken, real]) => edited.replaceAll(taken, real), text);
  const message = edit(name === 'backup_cancel' ? realMessage(name) : known(world.forDatastore(realMessage(name))));
  const packed = (call.stdin === 'base64') === (encoding === 'as oned');
  return world.run(world.script(call.action), argv, packed ? Buffer.from(message).toString('base64') : message);
}

/** The form of the answer to a backup. */
const stored = (): RegExp => new RegExp(`^${world.traits.source} [1-9]\\d* raw\\n$`);

/** The chain after the flatten, and the URL of a disk at its end. */
const flattened = () => [
  { id: 1, source: sources.flat0001 as string },
  { id: 2, source: sources.inc00008 as string },
];
const urlOf = (file: string): string => world.url(1, flattened(), file);

/** Holds an answer against the contract, "How an answer is read". */
function answers(t: Test, ended: Ended, form: RegExp, comment: string): void {
  t.equal(ended.code, 0, `${comment}: exit code; ${ended.stderr}`);
  t.match(ended.stdout, form, comment);
  t.match(ended.stdout + ended.stderr, /^[\n\x20-\x7e]*$/, `${comment}: ASCII`);
  const plain = ended.stderr.split('\n').filter((line) => line !== '' && !/^(INFO|DEBUG|WARN): [^0-9]/.test(line));
  t.same(plain, [], `${comment}: no plain line on stderr`);
}

for (const driver of UNDER_TEST) {
  t.test(driver, async (t) => {
    world = await startFrontEnd({ driver, names: ['localhost', 'bridge', 'server'], sshds: 3 });
    t.teardown(() => world.stop());
    vm = new BackedUpVm(world, 1, { disks: 3, tpm: true });
    sources = {};
    for (const { name } of CALLS) unused.add(name);

    t.test('monitor', async (t) => {
      for (const encoding of ['as oned', 'the other'] as const) {
        const ended = await send('monitor', undefined, encoding);
        answers(t, ended, /^USED_MB=\d+\nTOTAL_MB=[1-9]\d*\nFREE_MB=\d+\n$/, encoding);
        const [used, total, free] = [...ended.stdout.matchAll(/\d+/g)].map(Number);
        t.equal(used, (total ?? 0) - (free ?? 0), 'what is not free is used');
      }
    });

    t.test('backup: a full one, increments, and job 0 with a repository of its own', async (t) => {
      vm.stage(0);
      const full = await send('backup-live-full');
      answers(t, full, stored(), 'full');
      sources.inc00006 = full.stdout.split(' ')[0] as string;
      for (const increment of [1, 2]) {
        vm.stage(increment);
        const known = [0, 1].slice(0, increment).map((id) => ({ id, source: sources[`inc0000${6 + id}`] as string }));
        world.serveImage(1, known);
        const number = (text: string): string => withText(text, 'VM', 'LAST_INCREMENT_ID', String(increment - 1));
        const ended = await send('backup-poweroff-increment', number, increment === 1 ? 'the other' : 'as oned');
        answers(t, ended, stored(), `increment ${increment}`);
        sources[`inc0000${6 + increment}`] = ended.stdout.split(' ')[0] as string;
      }
      t.strictSame(world.traits.places(world.datastore), ['1']);
      vm.stage(0);
      answers(t, await send('backup-job'), stored(), 'job');
      // restic's backups of a job share a repository, which makes job 0 a job.
      t.strictSame(world.traits.places(world.datastore), driver === 'restic' ? ['1', 'job_0'] : ['1']);
      t.equal(world.traits.stored(world.repository(1)).length, driver === 'restic' ? 3 : 4);
    });

    t.test('increment_flatten, and again because oned did not hear the answer', async (t) => {
      const first = await send('increment_flatten');
      answers(t, first, new RegExp(`^[1-9]\\d* 1:${world.traits.source},2:${sources.inc00008}\n$`), 'flatten');
      const again = await send('increment_flatten', undefined, 'the other');
      answers(t, again, new RegExp(`^[1-9]\\d* 1:${world.traits.source},2:${sources.inc00008}\n$`), 'again');
      t.equal(again.stdout, first.stdout);
      sources.flat0001 = first.stdout.split(/[ :,]/)[2] as string;
    });

    t.test('ls', async (t) => {
      for (const encoding of ['as oned', 'the other'] as const) {
        const ended = await send('ls-i2', undefined, encoding);
        answers(t, ended, /^\{[^\n]*\}\n$/, encoding);
        const expected = { 0: urlOf('disk.0.2'), 1: urlOf('disk.1.2'), 2: urlOf('disk.2.2'), tpm: urlOf('disk.tpm.0') };
        t.strictSame(JSON.parse(ended.stdout), JSON.parse(JSON.stringify(expected)));
      }
    });

    t.test('stat: the URL of another driver is refused, a URL of ours has a size', async (t) => {
      const other = DRIVERS.find((one) => one !== driver) as string;
      const at = (url: string) => (text: string) => withText(text, 'IMAGE', 'PATH', url);
      const foreign = await send('stat-from-backup-ds', at(urlOf('disk.0.2').replace(world.traits.scheme, other)));
      t.equal(foreign.code, 3);
      t.equal(foreign.stdout, '');
      const refused = `^the backup URL begins with ${other}://, which belongs to another driver\\.[^\n]*\n$`;
      t.match(foreign.stderr, new RegExp(refused));
      // The URL in the message that oned sent is one of rsync.
      const ours = driver === 'rsync' ? undefined : at(urlOf('disk.0.2'));
      answers(t, await send('stat-from-backup-ds', ours), /^42\n$/, 'as oned');
      answers(t, await send('stat-from-backup-ds', ours, 'the other'), /^42\n$/, 'the other');
    });

    t.test('restore', async (t) => {
      answers(t, await send('restore-increment-named'), /^7 40 41 42\n$/, 'as oned');
      answers(t, await send('restore-increment-named', undefined, 'the other'), /^8 43 44 45\n$/, 'the other');
    });

    t.test('backup_cancel of a VM that is not being backed up', async (t) => {
      answers(t, await send('backup_cancel'), /^$/, 'as oned');
      answers(t, await send('backup_cancel', undefined, 'the other'), /^$/, 'the other');
    });

    t.test('the transfer runs on the bridge host, and BACKUP_BASE_PATH moves the staging folder', async (t) => {
      const conf = join(world.varDir, 'remotes', 'etc', 'datastore', 'datastore.conf');
      mkdirSync(join(conf, '..'), { recursive: true });
      const base = join(world.folder, 'elsewhere');
      writeFileSync(conf, `# comment\nOTHER=1\nexport BACKUP_BASE_PATH="${base}/"\n`);
      vm.stage(0);
      mkdirSync(join(base, '1'), { recursive: true });
      renameSync(vm.staging, join(base, '1', 'backup'));
      const [host, bridge] = [world.ssh.connections('localhost'), world.ssh.connections('bridge')];
      const bridged = (text: string): string => withAdded(text, 'BACKUP_CONFIG', 'LAST_BRIDGE', 'bridge');
      answers(t, await send('backup-live-full', bridged), stored(), 'backup');
      t.equal(world.ssh.connections('localhost'), host, "none to the VM's own host");
      t.equal(world.ssh.connections('bridge'), bridge + 1, 'one to the bridge');
      answers(t, await send('backup_cancel', bridged), /^$/, 'cancel');
      t.equal(world.ssh.connections('bridge'), bridge + 2, 'cancel, too, looks on the bridge');
    });

    t.test('rm, and again', async (t) => {
      answers(t, await send('rm-increments'), /^$/, 'as oned');
      answers(t, await send('rm-increments', undefined, 'the other'), /^$/, 'again');
      const gone = await send('ls-i2');
      t.equal(gone.code, 6);
      t.match(gone.stderr, /^increment 2 of VM 1 is gone: [^\n]*\n$/);
    });

    t.test('no message was left out', async (t) => t.equal(unused.size, 0, [...unused].join()));
  });
}
