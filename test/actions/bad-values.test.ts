import { mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import type { ErrorKind } from '../../lib/errors';
import { BackedUpVm } from '../helpers/backed-up-vm';
import { DRIVERS } from '../helpers/drivers';
import { type FrontEndWorld, startFrontEnd } from '../helpers/front-end';
import { type MessageName, realMessage, withAdded, withContent, withText } from '../helpers/messages';
import { attribute, type Edit, type Refusal, refuse } from '../helpers/refusal';
import { contentOf } from '../helpers/tree';
import { BAD_ATTRIBUTES, BAD_URLS, GOOD_ATTRIBUTES } from './driver-tables';

/** A source that no repository holds; what is refused must be refused before that is found out. */
const CHAIN = [{ id: 0, source: '0a1b2c3d' }];
let world: FrontEndWorld;
let vm: BackedUpVm;

const image = (name: MessageName, edit?: Edit): string => world.imageMessage(name, 1, CHAIN, edit);
const monitor = (edit?: Edit): string => world.message('monitor', edit);
const source =
  (text: string): Edit =>
  (message) =>
    withText(message, 'BACKUP_INCREMENTS', 'SOURCE', text);

/** Leaves no increment, and this SOURCE. */
const emptied =
  (text: string): Edit =>
  (message) =>
    withText(withContent(message, 'BACKUP_INCREMENTS', ''), 'IMAGE', 'SOURCE', text);

for (const driver of DRIVERS) {
  t.test(driver, async (t) => {
    // An account that may log in and read nothing of ours; whoever is not root is kept out by the mode of the folder.
    const users = process.getuid?.() === 0 ? { unreadable: 'nobody' } : {};
    world = await startFrontEnd({ driver, names: ['host1', 'unreadable', 'server'], users, withoutMachine: true });
    t.teardown(() => world.stop());
    vm = new BackedUpVm(world, 1);
    vm.stage(0);

    t.test('ids, lists, hosts and paths', async (t) => {
      const { server } = world.traits.named;
      const [args, stdin] = vm.call(0);
      const backup = (place: number, value: string, says: RegExp): Refusal => ({
        name: `backup argument ${place} ${value.slice(0, 30)}`,
        ...{ action: world.script('backup'), args: args.with(place, value), stdin, kind: 'usage', says },
      });
      const bridge = (value: string): Refusal => ({
        name: `LAST_BRIDGE ${value}`,
        ...{ action: world.script('backup'), args, kind: 'message', says: /LAST_BRIDGE is .* not a host name/ },
        stdin: withAdded(stdin, 'BACKUP_CONFIG', 'LAST_BRIDGE', value),
      });
      const hosts = ['-oProxyCommand=x', 'host 1', 'host\n1', '$(id)', 'a;b', "a'b", 'user@host'];
      const dir = (args[0] as string).slice('host1:'.length);
      const ids = ['../x', '-1', '1e3', '12345678901234567890', '', ' 1', '0x1', '01', '1/2'];
      const paths = ['relative/path', '/var/../etc', '/a/../../b', '', '/x\ny'];
      await refuse(t, world, [
        ...ids.map((id) => backup(4, id, /VM_ID|expected 6|-1|\b1\b/)),
        { ...backup(4, '2', /VM_ID is 2, but the message is about 1/), kind: 'message' },
        ...['0:0', 'a', '', '0:', ':', '0,1', '0:-1', '0:1e1'].map((list) => backup(1, list, /DISKS is /)),
        ...['x', '-2', '1.5'].map((job) => backup(3, job, /JOB_ID|Unknown|expected/)),
        ...['', 'a b', 'x\ny', '../1', "x'y"].map((id) => backup(2, id, /DEPLOY_ID/)),
        ...hosts.map((host) => backup(0, `${host}:${dir}`, /HOST is |Unknown argument|is not HOST:DIR/)),
        ...['host1', 'host1:relative', 'host1:/a/../b', ':/a'].map((place) => backup(0, place, /HOST|DIR/)),
        ...hosts.map(bridge),
        { ...bridge('a'), name: 'LAST_BRIDGE NUL', stdin: withAdded(stdin, 'BACKUP_CONFIG', 'LAST_BRIDGE', 'a\0b') },
        ...hosts.map(
          (host): Refusal => ({
            ...{
              name: `server ${host}`,
              action: world.script('monitor'),
              kind: 'config',
              says: new RegExp(`${server} is `),
            },
            stdin: monitor(attribute(server, host)),
          }),
        ),
        ...paths.map(
          (path): Refusal => ({
            ...{ name: `BASE_PATH ${path}`, action: world.script('monitor'), kind: 'message', says: /BASE_PATH is / },
            stdin: monitor((text) => withText(text, 'DATASTORE', 'BASE_PATH', path)),
          }),
        ),
        ...['-oProxyCommand=x', 'a b'].map(
          (host): Refusal => ({
            ...{
              name: `cancel ${host}`,
              action: world.script('backup_cancel'),
              args: [`host1:${dir}`, 'one-1'],
              kind: 'message',
            },
            says: /LAST_BRIDGE/,
            stdin: withAdded(realMessage('backup_cancel'), 'BACKUP_CONFIG', 'LAST_BRIDGE', host),
          }),
        ),
      ] as Refusal[]);
    });

    t.test('chains, sources and URLs', async (t) => {
      const bad = ['a/b', '../1', '-rf', '--all', `a'b`, 'a"b', 'a b', '$(id)', 'a'.repeat(10_000), 'a\nb', '*'];
      const of = (name: string, action: string, stdin: string, says: RegExp): Refusal => ({
        ...{ name, stdin, says, kind: 'message' },
        action: world.script(action),
      });
      const sources = bad.flatMap((text): Refusal[] => [
        of(
          `rm ${text.slice(0, 20)}`,
          'rm',
          image('rm-increments', source(text)),
          /SOURCE is .* not the id of a backup/,
        ),
        of(`ls ${text.slice(0, 20)}`, 'ls', image('ls-i2', source(text)), /SOURCE is .* not the id of a backup/),
        of(
          `flatten ${text.slice(0, 20)}`,
          'increment_flatten',
          image('increment_flatten', source(text)),
          /SOURCE is .* not the id of a backup/,
        ),
      ]);
      const url = (text: string): string =>
        world.message('stat-from-backup-ds', (m) => withText(m, 'IMAGE', 'PATH', text));
      const urls = BAD_URLS[driver];
      // Of a well-formed URL it is the datastore that the downloader finds wrong, and asks oned for.
      const downloads =
        driver === 'zfs' ? [] : urls.slice(1).filter(([text]) => !text.endsWith('//0:0a1b2c3d/disk.0.0'));
      const keep =
        (text: string): Edit =>
        (message) =>
          withText(message, 'EXTRA_DATA', 'KEEP_LAST', text);
      await refuse(t, world, [
        ...sources,
        ...urls.map(([text, says]) => of(`stat ${text.slice(0, 50)}`, 'stat', url(text), says)),
        ...downloads.map(
          ([text, says]): Refusal => ({
            ...of(`download ${text.slice(0, 50)}`, '', '', says),
            ...{ action: world.downloader, args: [text] },
          }),
        ),
        of('empty chain', 'increment_flatten', image('increment_flatten', emptied('-')), /no increment and no SOURCE/),
        of('empty chain, of no SOURCE', 'rm', image('rm-increments', emptied('')), /no increment and no SOURCE/),
        ...['0', '-1', 'x', '1e3', '1.5'].map((text) =>
          of(
            `KEEP_LAST ${text}`,
            'increment_flatten',
            image('increment_flatten', keep(text)),
            /KEEP_LAST is .* not a number of at least 1/,
          ),
        ),
        {
          ...of('wrong image', 'rm', image('rm-increments'), /IMAGE_ID is 7, but the message is about 6/),
          args: ['7'],
        },
      ]);
      const none = await world.run(world.script('rm'), ['6'], image('rm-increments', emptied('-')));
      t.strictSame([none.code, none.stdout, none.stderr], [0, '', ''], 'of a backup that never was nothing is left');
    });

    t.test('the datastore', async (t) => {
      const of = (name: string, value: string, says = new RegExp(name)): Refusal => ({
        ...{ name: `${name} ${value.slice(0, 20)}`, says, kind: 'config' },
        ...{ action: world.script('monitor'), stdin: monitor(attribute(name, value)) },
      });
      const owner = (text: string): string => withText(text, 'DATASTORE', 'DS_MAD', 'other');
      await refuse(t, world, [
        {
          ...of('DS_MAD', ''),
          stdin: monitor(owner),
          says: new RegExp(`DS_MAD "other", this driver is "${driver}"`),
        },
        ...BAD_ATTRIBUTES[driver].map(([name, value, says]) => of(name, value, says)),
      ]);
      for (const [name, value] of GOOD_ATTRIBUTES[driver]) {
        const stdin = monitor(attribute(name, value));
        const { code, stderr } = await world.run(world.script('monitor'), ['100', '--dry-run'], stdin);
        t.strictSame([code, stderr], [0, ''], `${name} ${value.slice(0, 20)} is accepted`);
      }
    });

    t.test('the staging folder', async (t) => {
      const dir = vm.staging;
      const [args, stdin] = vm.call(0);
      const [place] = args as [string];
      const backup = (name: string, says: RegExp, kind: ErrorKind, host = place): Refusal => ({
        ...{ name, says, kind, stdin, action: world.script('backup'), args: args.with(0, host) },
      });
      const laid = async (change: () => void, one: Refusal): Promise<void> => {
        vm.stage(0);
        change();
        await refuse(t, world, [one], contentOf);
      };
      const unreadable = place.replace('host1', 'unreadable');
      await laid(() => {}, backup('unreadable', /no permission for .*backup/, 'failed', unreadable));
      await laid(() => rmSync(dir, { recursive: true }), backup('no folder', /does not exist/, 'notFound'));
      await laid(
        () => {
          rmSync(dir, { recursive: true });
          writeFileSync(dir, 'a file');
        },
        backup('a file in its place', /backup/, 'notFound'),
      );
      rmSync(dir);
      await laid(() => rmSync(join(dir, 'vm.xml')), backup('no vm.xml', /holds no vm\.xml/, 'notFound'));
      await laid(() => rmSync(join(dir, 'disk.1.0')), backup('no disk 1', /holds no file of disk 1/, 'notFound'));
      await laid(
        () => {
          rmSync(join(dir, 'disk.0.0'));
          symlinkSync('/etc/passwd', join(dir, 'disk.0.0'));
        },
        backup('a symlink as disk', /disk\.0\.0 is not a plain file but a link/, 'failed'),
      );
      await laid(
        () => {
          rmSync(join(dir, 'disk.0.0'));
          mkdirSync(join(dir, 'disk.0.0'));
        },
        backup('a folder as disk', /disk\.0\.0 is not a plain file but a folder/, 'failed'),
      );
    });
  });
}
