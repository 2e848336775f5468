import t from 'tap';
import { CommandLine } from '../../../lib/control/call';
import { ACTIONS } from '../../../lib/control/oned-call';
import { Datastores } from '../../../lib/control/open-datastore';
import { runAction } from '../../../lib/control/run-action';
import type { ControlContext } from '../../../lib/control/subcommand';
import { resticDriver } from '../../../lib/engine/restic/driver';
import { Element } from '../../../lib/opennebula/document';
import { frontEndFrom } from '../../../lib/opennebula/front-end';
import { formatMessage, nodeOf, withHidden } from '../../../lib/opennebula/message-text';
import index from '../../fixtures/oned-messages/index.json';
import { failure } from '../../helpers/failure';
import { type MessageName, realMessage } from '../../helpers/messages';

const file = t.testdir({
  'backups.ds': [
    'NAME = "backups"',
    'TYPE = "BACKUP_DS"',
    'DS_MAD = "restic"',
    'TM_MAD = "-"',
    `RESTIC_PASSWORD = "it's \\"a\\" & <secret>"`,
    'RESTIC_SFTP_SERVER = "backup.example.net"',
    'RESTRICTED_DIRS = "/"',
    '',
  ].join('\n'),
});

/** The call that an action makes of these options. */
async function callOf(action: string, options: Record<string, unknown>) {
  const line = new CommandLine(runAction, [action, `${file}/backups.ds`], { id: '100', ...options }, [], []);
  const frontEnd = frontEndFrom({});
  const means = { line, frontEnd, env: {}, drivers: [resticDriver] } as unknown as ControlContext;
  const opened = await new Datastores(means).open(`${file}/backups.ds`);
  const call = ACTIONS[action]?.make({ line, opened, varDir: frontEnd.varDir });
  if (call === undefined) throw new Error(`there is no ${action}`);
  return { ...call, text: formatMessage(call.message) };
}

/** The paths of all elements, without those that only a VM or a datastore with a history has. */
function shape(element: Element): string[] {
  return [element.path, ...element.children().flatMap(shape)];
}

const DEPLOY_ID = '9d3c1c8e-7f0a-4f6e-9a51-1f6f1f1a0001';

/** The real call of each action, and the options that give it. */
const CALLS: readonly [name: MessageName, options: Record<string, unknown>][] = [
  ['monitor', {}],
  [
    'backup-live-full',
    { vm: '1', disk: ['0', '1', '2'], host: 'localhost', 'system-ds': '102', 'deploy-id': DEPLOY_ID },
  ],
  [
    'backup-poweroff-increment',
    { vm: '1', disk: '0:1', host: 'localhost', 'system-ds': '102', 'deploy-id': DEPLOY_ID, increment: '2', image: '6' },
  ],
  ['backup-job', { vm: '1', disk: '0,1', host: 'localhost', 'system-ds': '102', 'deploy-id': DEPLOY_ID, job: '0' }],
  ['backup_cancel', { vm: '1', host: 'localhost', 'system-ds': '102', 'deploy-id': DEPLOY_ID }],
  ['rm-increments', { vm: '1', image: '6', source: '1:flat0001,2:inc00008', disk: ['0', '1'] }],
  ['increment_flatten', { vm: '1', image: '6', source: ['inc00006', 'inc00007', 'inc00008'], 'keep-last': '2' }],
  [
    'restore-increment-named',
    {
      ...{ vm: '1', image: '6', source: '1:flat0001,2:inc00008', destination: '101', increment: '2', name: 'rest & 1' },
      ...{ 'no-ip': true, 'no-nic': true },
    },
  ],
  ['stat-from-backup-ds', { url: 'rsync://100//1:flat0001,2:inc00008/var/lib/one/x/disk.0.2', job: '5' }],
  ['ls-i2', { vm: '1', image: '6', source: '1:flat0001,2:inc00008', increment: '2' }],
];

t.test("the calls of a real oned: same arguments, same packing, elements in oned's order", async (t) => {
  for (const [name, options] of CALLS) {
    const real = index.find((one) => one.name === name);
    const { args, packed, text } = await callOf(real?.action ?? '', options);
    const isRequest = real?.action === 'restore' || real?.action === 'stat'; // oned's own count
    t.strictSame(args, isRequest ? ['0'] : real?.argv, `${name}: arguments`);
    t.equal(packed ? 'base64' : 'raw', real?.stdin, `${name}: packing`);
    t.match(text, /^<[^\n]*>\n$/, `${name}: one line`);
    const ours = shape(Element.parse(text, 'ours'));
    const theirs = shape(Element.parse(realMessage(name), 'theirs'));
    // the VM of this ls was not in a backup
    const known = new Set([...theirs, ...(name === 'ls-i2' ? ['VM/BACKUPS/BACKUP_CONFIG/LAST_DATASTORE_ID'] : [])]);
    t.strictSame(
      ours.filter((path) => !known.has(path)),
      [],
      `${name}: no element that oned has not`,
    );
    const top = (paths: readonly string[]): string[] => paths.filter((path) => path.split('/').length < 3);
    const unique = (paths: readonly string[]): string[] => [...new Set(top(paths))];
    const mine = new Set(unique(ours));
    t.strictSame(
      unique(ours),
      unique(theirs).filter((path) => mine.has(path)),
      `${name}: their order`,
    );
    const missing = unique(theirs).filter((path) => !mine.has(path) && !/(^|[/_])TEMPLATE\//.test(path));
    t.strictSame(missing, [], `${name}: nothing is missing`);
  }
});

t.test('what the drivers read of it', async (t) => {
  const backup = Element.parse(
    (await callOf('backup', { vm: '1', disk: '0', host: 'h', increment: '2', image: '6' })).text,
    'x',
  );
  const config = (message: Element): string[] => {
    const told = message.child('VM').child('BACKUPS').child('BACKUP_CONFIG');
    return ['MODE', 'LAST_INCREMENT_ID', 'INCREMENTAL_BACKUP_ID'].map((name) => told.textOf(name));
  };
  t.strictSame(config(backup), ['INCREMENT', '1', '6']);
  const first = await callOf('backup', { vm: '1', disk: '0', host: 'h', increment: '0' });
  t.strictSame(config(Element.parse(first.text, 'x')), ['INCREMENT', '-1', '-1'], 'a chain begins');
  const alone = await callOf('backup', { vm: '1', disk: '0', host: 'h' });
  t.strictSame(config(Element.parse(alone.text, 'x')), ['FULL', '-1', '-1'], 'a full backup of its own');
  t.equal(backup.child('DATASTORE').child('TEMPLATE').textOf('RESTIC_PASSWORD'), `it's "a" & <secret>`);
  t.equal(backup.child('DATASTORE').textOf('BASE_PATH'), '/var/lib/one/datastores/100');
  t.strictSame((await callOf('backup', { vm: '7', disk: '0', host: 'h', dir: '/d/datastores/33/7' })).args, [
    ...['h:/d/datastores/33/7', '0', 'one-7', '-', '7', '33'],
  ]);
  t.equal((await callOf('backup', { vm: '7', disk: '0', host: 'h' })).args[0], 'h:/var/lib/one//datastores/0/7');
  const one = Element.parse((await callOf('ls', { vm: '7', source: 'abc', increment: '4' })).text, 'x');
  t.equal(one.child('IMAGE').child('BACKUP_INCREMENTS').child('INCREMENT').textOf('ID'), '4');
});

t.test('what is missing or wrong is said by its option', async (t) => {
  for (const [action, options, says] of [
    ['backup', { vm: '1', host: 'h' }, /--disk is missing/],
    ['backup', { disk: '0', host: 'h' }, /--vm is missing/],
    ['backup', { vm: '1', disk: '0' }, /--host is missing/],
    ['backup', { vm: '1', disk: 'a', host: 'h' }, /--disk is "a"/],
    ['rm', { vm: '1' }, /--source is missing/],
    ['rm', { vm: '1', source: '../x' }, /SOURCE of --source is "\.\.\/x"/],
    ['stat', {}, /--url is missing/],
    ['restore', { vm: '1', source: 'a' }, /--destination is missing/],
    ['monitor', { id: undefined }, /does not say which datastore it is: give its --id/],
  ] as const)
    await t.rejects(callOf(action, options), failure('usage', says), `${action} ${JSON.stringify(options)}`);
});

t.test('shown with line breaks, and without secrets', async (t) => {
  const { message } = await callOf('monitor', {});
  const shown = formatMessage(
    withHidden(message, (name) => name === 'RESTIC_PASSWORD'),
    true,
  );
  t.match(shown, '      <RESTIC_PASSWORD><![CDATA[***]]></RESTIC_PASSWORD>\n');
  t.notMatch(shown, 'secret');
  const again = formatMessage(nodeOf(Element.parse(realMessage('monitor'), 'x')));
  t.equal(again.trim(), realMessage('monitor').trim(), 'what oned wrote is written as oned did');
});
