import t from 'tap';
import { DriverError } from '../../../lib/errors';
import { Attributes } from '../../../lib/opennebula/attributes';
import {
  formatBackupUrl,
  incrementOfDiskFile,
  parseBackupUrl,
  parseDiskFile,
  siblingOf,
} from '../../../lib/opennebula/backup-url';
import { parseDatastore } from '../../../lib/opennebula/datastore';
import { Element, MESSAGE_LIMIT_BYTES } from '../../../lib/opennebula/document';
import {
  joinPath,
  parseAbsolutePath,
  parseDeployId,
  parseHostName,
  parseIncrementId,
  parseJobId,
  parseUserName,
  parseVmId,
} from '../../../lib/opennebula/ids';
import { parseImage } from '../../../lib/opennebula/image';
import { chainUpTo, formatChain, lastOf, parseChain, parseSource } from '../../../lib/opennebula/increment';
import { parseBridgeHost, parseStoredVm, parseVmToBackUp, virtualSizeMb } from '../../../lib/opennebula/vm';
import { incrementsXml, realMessage, withContent, withText } from '../../helpers/messages';

type Asserts = Pick<typeof t, 'ok' | 'match' | 'fail'>;

const message = (text: string) => Element.parseMessage(Buffer.from(text));
const refused = (t: Asserts, what: () => unknown, kind: string, words: RegExp) => {
  try {
    what();
    t.fail(`accepted, but should say ${words}`);
  } catch (error) {
    t.ok(error instanceof DriverError, String(error));
    t.match(error, { kind, message: words });
    t.match((error as DriverError).message, /^[\x20-\x7e]{1,1000}$/, 'one line of ASCII');
  }
};

t.test('a message is XML, or XML in base64; its texts are never numbers', async (t) => {
  const xml =
    '<A><N>0012</N><E>123e45</E><T> a &amp; &lt;b&gt; &#65;&#x42; &quot;&apos;<![CDATA[ <!DOCTYPE &amp; ]]></T></A>';
  for (const text of [xml, Buffer.from(xml).toString('base64'), `\n  ${xml}\n`, `<?xml version="1.0"?>${xml}`]) {
    const root = message(text);
    t.equal(root.textOf('N'), '0012');
    t.equal(root.textOf('E'), '123e45');
    t.equal(root.child('T').text, ` a & <b> AB "' <!DOCTYPE &amp; `);
  }
});

t.test('what is no message is refused in one line', async (t) => {
  const cases: [string, RegExp][] = [
    ['', /empty/],
    ['?!', /neither XML nor base64/],
    [Buffer.from('hello').toString('base64'), /not of XML/],
    ['<A><B></A>', /well-formed/],
    ['<A><B>', /well-formed/],
    ['<A/><B/>', /one XML element/],
    ['<!DOCTYPE a [<!ENTITY x "y">]><A>&x;</A>', /DTD/],
    ['<!DOCTYPE a SYSTEM "file:///etc/passwd"><A/>', /DTD/],
    ['<A><!ENTITY x "y"></A>', /DTD/],
    ['<A>&x;</A>', /entity/],
    ['<A>&#9999999;</A>', /entity/],
    ['<A><![CDATA[ x </A>', /cut off/],
    ['<A>'.repeat(100) + '</A>'.repeat(100), /deeper/],
    [`<A>${'x'.repeat(MESSAGE_LIMIT_BYTES)}</A>`, /larger than 16 MiB/],
  ];
  for (const [text, words] of cases) refused(t, () => message(text).textOf('X'), 'message', words);
  refused(t, () => message('<A><B>1</B><B>2</B></A>').textOf('B'), 'message', /repeats B/);
  refused(t, () => message('<A><B> </B></A>').textOf('B'), 'message', /B is empty/);
  refused(t, () => message('<A/>').child('B'), 'message', /has no B/);
});

t.test('ids are digits, names are no options, paths stay where they are', async (t) => {
  t.equal(parseVmId('0', 'x'), 0);
  for (const bad of ['../x', '-1', '1e3', '1'.repeat(20), '', ' 1', '01', '1\n', '2147483648'])
    refused(t, () => parseVmId(bad, 'VM/ID'), 'message', /VM\/ID/);
  t.equal(parseJobId('-', 'x'), undefined);
  t.equal(parseJobId('0', 'x'), 0);
  for (const good of ['host1', '10.0.0.1', 'fe80::1%eth0', '[::1]', 'a_b.example', '::1'])
    t.equal(parseHostName(good, 'x'), good);
  for (const bad of ['-oProxyCommand=x', 'a b', 'a\nb', 'a\0b', '', 'a;b', '$(x)', 'a/b', 'x'.repeat(300)])
    refused(t, () => parseHostName(bad, 'HOST'), 'message', /HOST/);
  for (const bad of ['-l', 'a b', '', 'x;y']) refused(t, () => parseUserName(bad, 'USER'), 'message', /USER/);
  for (const bad of ['-x', 'a b', '', "x'"]) refused(t, () => parseDeployId(bad, 'DEPLOY_ID'), 'message', /DEPLOY_ID/);
  t.equal(parseAbsolutePath('/var/lib/one//datastores/./100/', 'x'), '/var/lib/one/datastores/100');
  for (const bad of ['relative', '/a/../b', '/a\nb', '', '/a\0', `/${'x'.repeat(5000)}`])
    refused(t, () => parseAbsolutePath(bad, 'PATH', 'config'), 'config', /PATH/);
  t.equal(joinPath(parseAbsolutePath('/', 'x'), 'a', 7), '/a/7');
  for (const bad of ['..', 'a/b', '', '.'])
    refused(t, () => joinPath(parseAbsolutePath('/a', 'x'), bad), 'internal', /plain file name/);
});

t.test('a chain: opaque sources, rising ids, one point of it', async (t) => {
  const chain = parseChain('0:123e45,1:0012,4:inc00006', 'x');
  t.strictSame(
    chain.map(({ source }) => source),
    ['123e45', '0012', 'inc00006'],
  );
  t.equal(formatChain(chain), '0:123e45,1:0012,4:inc00006');
  t.equal(formatChain(chainUpTo(chain, parseIncrementId('1', 'x'))), '0:123e45,1:0012');
  t.equal(lastOf(chain).id, 4);
  refused(t, () => chainUpTo(chain, parseIncrementId('2', 'x')), 'notFound', /no increment 2.*0, 1, 4/);
  for (const bad of ['', '0', '0:a:b', '0:', '1:a,0:b', '0:a,0:b', '0:a,', '0:../x', '0:-x'])
    refused(t, () => parseChain(bad, 'CHAIN'), 'message', /CHAIN/);
  for (const bad of ['a/b', '-x', "a'b", 'x'.repeat(10_000), 'a b', ''])
    refused(t, () => parseSource(bad, 'SOURCE'), 'message', /SOURCE/);
});

t.test('an image: the list of increments before IMAGE/SOURCE, the VM, the job', async (t) => {
  const image = (edit: (text: string) => string) =>
    parseImage(message(edit(realMessage('rm-increments'))).child('IMAGE'));
  const real = image((text) => text);
  t.strictSame([real.id, real.vmId, real.jobId, real.format], [6, 1, undefined, 'raw']);
  t.ok(real.chain.length > 0);
  const chain = [
    { id: 3, source: 'aa' },
    { id: 1, source: 'bb' },
  ];
  t.equal(
    formatChain(image((text) => withContent(text, 'BACKUP_INCREMENTS', incrementsXml(chain))).chain),
    '1:bb,3:aa',
    'in order',
  );
  t.match(
    formatChain(image((text) => withContent(text, 'BACKUP_INCREMENTS', '')).chain),
    /^0:/,
    'a full backup from before increments',
  );
  refused(
    t,
    () => image((text) => withText(withContent(text, 'BACKUP_INCREMENTS', ''), 'IMAGE', 'SOURCE', '-')),
    'message',
    /no increment/,
  );
  refused(t, () => image((text) => withContent(text, 'VMS', '')), 'message', /one VM/);
  refused(t, () => image((text) => withContent(text, 'VMS', '<ID>1</ID><ID>2</ID>')), 'message', /one VM/);
  const rest = withContent(realMessage('rm-increments'), 'VMS', '<ID>1</ID>').replace(
    '<TEMPLATE></TEMPLATE>',
    '<TEMPLATE><BACKUP_JOB_ID>0</BACKUP_JOB_ID></TEMPLATE>',
  );
  t.equal(parseImage(message(rest).child('IMAGE')).jobId, 0, 'job 0 is a job');
});

t.test('a VM to back up: full, increment, bridge', async (t) => {
  const vm = (name: 'backup-live-full' | 'backup-poweroff-increment' | 'backup-job', edit = (text: string) => text) =>
    message(edit(realMessage(name))).child('VM');
  t.match(parseVmToBackUp(vm('backup-live-full')), {
    id: 1,
    name: 'vm-1',
    incrementId: 0,
    parentId: undefined,
    chainImageId: undefined,
    bridgeHost: undefined,
  });
  t.match(parseVmToBackUp(vm('backup-poweroff-increment')), { incrementId: 2, parentId: 1, chainImageId: 6 });
  t.match(
    parseVmToBackUp(vm('backup-job')),
    { incrementId: 0, parentId: undefined },
    'MODE INCREMENT, and a chain begins',
  );
  t.equal(parseVmToBackUp(vm('backup-live-full')).diskSizesMb.get(0 as never), 42);
  const bridged = vm('backup-live-full', (text) =>
    text.replace('<BACKUP_CONFIG>', '<BACKUP_CONFIG><LAST_BRIDGE>bridge1</LAST_BRIDGE>'),
  );
  t.equal(parseBridgeHost(bridged), 'bridge1');
});

t.test('the stored document of a VM: base64 in lines; sizes of disks', async (t) => {
  const document = /<VM>[\s\S]*<\/VM>/.exec(realMessage('backup-live-full'))?.[0] ?? '';
  const stored = Buffer.from(
    Buffer.from(document)
      .toString('base64')
      .replace(/(.{60})/g, '$1\n'),
  );
  const vm = parseStoredVm(stored);
  t.equal(virtualSizeMb(vm, 1 as never), 16);
  refused(t, () => virtualSizeMb(vm, 9 as never), 'notFound', /disk 9/);
  refused(t, () => parseStoredVm(Buffer.from('')), 'damaged', /vm\.xml/);
  refused(t, () => parseStoredVm(Buffer.from('<IMAGE/>')), 'damaged', /IMAGE/);
});

t.test('backup URLs go there and back', async (t) => {
  const text = "restic://100/5/0:4f2c8c81,1:9a7b66d0/var/tmp/it's a $(place)/7/backup/disk.0.1";
  const url = parseBackupUrl(text, 'restic');
  t.match(url, { datastoreId: 100, jobId: 5, disk: 0, format: 'raw' });
  t.equal(formatBackupUrl(url), text);
  t.equal(siblingOf(url.path, 'vm.xml'), "/var/tmp/it's a $(place)/7/backup/vm.xml");
  t.match(parseBackupUrl('restic+rbd://100//0:ab/x/7/backup/disk.12.rbd2', 'restic'), {
    format: 'rbd',
    disk: 12,
    jobId: undefined,
  });
  t.equal(parseBackupUrl('restic://100//0:ab/x/7/backup/disk.tpm.0', 'restic').disk, 'tpm');
  for (const [bad, words] of [
    ['rsync://100//0:ab/x/disk.0.0', /another driver/],
    ['restic://100//0:ab/x/vm.xml', /name of a disk/],
    ['restic://100//0:ab', /not of the form/],
    ['restic://x//0:ab/x/disk.0.0', /datastore/],
    ['restic://100//0:a b/x/disk.0.0', /source/],
    ['restic://100//0:ab/x/../disk.0.0', /path/],
    [`restic://100//0:ab/${'x'.repeat(70_000)}/disk.0.0`, /too long/],
    ['http://x', /not of the form/],
  ] as const)
    refused(t, () => parseBackupUrl(bad, 'restic'), 'message', words);
  t.equal(parseDiskFile('disk.3')?.diskId, 3, 'from before increments');
  t.equal(parseDiskFile('disk.0.2.rbdiff')?.format, 'rbd');
  t.equal(parseDiskFile('disk.tpm.0'), undefined);
  t.equal(incrementOfDiskFile('disk.0.12'), 12);
  t.equal(incrementOfDiskFile('disk.0'), undefined);
});

t.test('a datastore belongs to one driver; its attributes are typed and never silently defaulted', async (t) => {
  const element = (template: string) =>
    message(
      `<DATASTORE><ID>100</ID><DS_MAD>restic</DS_MAD><BASE_PATH>/b//100</BASE_PATH><TEMPLATE>${template}</TEMPLATE></DATASTORE>`,
    );
  const attributes = (template: string, file?: string) =>
    new Attributes(parseDatastore(element(template), 'restic', file));
  t.equal(parseDatastore(element(''), 'restic').basePath, '/b/100');
  refused(t, () => parseDatastore(element(''), 'rsync'), 'config', /DS_MAD "restic"/);
  t.equal(attributes('<N> 5 </N>').integer('N', 1, 5), 5);
  t.equal(attributes('<N></N>').integer('N', 1, 5), undefined);
  for (const bad of ['0', '6', 'x', '1.5', '0x5', '1e0'])
    refused(t, () => attributes(`<N>${bad}</N>`).integer('N', 1, 5), 'config', /N of datastore 100 .* from 1 to 5/);
  t.equal(attributes('<C>MAX</C>').oneOf('C', ['auto', 'max']), 'max');
  refused(t, () => attributes('<C>best</C>').oneOf('C', ['auto', 'max']), 'config', /auto, max/);
  t.equal(attributes('<Y>yes</Y>').yesNo('Y'), true);
  refused(t, () => attributes('<Y>ja</Y>').yesNo('Y'), 'config', /YES, NO/);
  t.equal(attributes('<P><![CDATA[ $x "q" ]]></P>').secret('P').reveal(), ' $x "q" ');
  refused(t, () => attributes('<P>a\nb</P>').secret('P'), 'config', /line break/);
  refused(t, () => attributes('').secret('P'), 'config', /has no P.*onedatastore update 100/);
  refused(t, () => attributes('', 'backups.ds').secret('P'), 'config', /has no P\. Add it in backups\.ds\.$/);
  refused(t, () => attributes('<N>x</N>', 'a.ds').integer('N', 1, 5), 'config', /1 to 5\. Correct it in a\.ds\.$/);
  t.equal(String(attributes('<P>hidden</P>').secret('P')), '***');
});
