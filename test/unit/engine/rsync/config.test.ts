import t, { type Test } from 'tap';
import { parseRsyncConfig, type RsyncConfig } from '../../../../lib/engine/rsync/config';
import { DriverError } from '../../../../lib/errors';
import { parseDatastore } from '../../../../lib/opennebula/datastore';
import { Element } from '../../../../lib/opennebula/document';

type Attributes = Readonly<Record<string, string | undefined>>;

function parse(attributes: Attributes): RsyncConfig {
  const template = Object.entries({ RSYNC_HOST: 'server', ...attributes })
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `<${name}><![CDATA[${value}]]></${name}>`)
    .join('');
  const xml = `<DATASTORE><ID>100</ID><DS_MAD>rsync</DS_MAD><BASE_PATH>/b//100</BASE_PATH><TEMPLATE>${template}</TEMPLATE></DATASTORE>`;
  return parseRsyncConfig(parseDatastore(Element.parse(xml, 'the message'), 'rsync'));
}

function refused(t: Test, attributes: Attributes, name: string): void {
  const value = JSON.stringify(attributes[name]);
  try {
    parse(attributes);
    t.fail(`${name} = ${value} was accepted`);
  } catch (error) {
    if (!(error instanceof DriverError)) throw error;
    t.equal(error.kind, 'config', `${name} = ${value}: ${error.message}`);
    t.match(error.message, name, 'the error names the attribute');
    t.match(error.message, /onedatastore update 100|which is not|README/, 'and says what is expected, or what to do');
  }
}

t.test('without any attribute that may be missing: the defaults', async (t) => {
  t.strictSame(parse({}), {
    server: 'server',
    user: 'oneadmin',
    args: ['-aS'],
    sparsify: false,
    temporaryFolder: '/var/tmp',
    throttle: {
      nice: undefined,
      ionice: undefined,
      maxReadIops: undefined,
      maxWriteIops: undefined,
      cpuQuotaPercent: undefined,
      maxMemoryMb: undefined,
    },
    stallSeconds: 600,
  });
});

t.test('an empty attribute is a missing one', async (t) => {
  const names = 'USER ARGS TMP_DIR SPARSIFY NICE IONICE MAX_RIOPS MAX_WIOPS CPU_QUOTA MEMORY_MAX_MB STALL_LIMIT';
  for (const blank of ['', ' ', '\n']) {
    t.strictSame(parse(Object.fromEntries(names.split(' ').map((name) => [`RSYNC_${name}`, blank]))), parse({}));
  }
  for (const text of [undefined, '', ' ']) refused(t, { RSYNC_HOST: text }, 'RSYNC_HOST');
});

type Read = (config: RsyncConfig) => unknown;
const NUMBERS: [name: string, least: number, most: number, read: Read][] = [
  ['RSYNC_NICE', -19, 19, ({ throttle }) => throttle.nice],
  ['RSYNC_IONICE', 0, 7, ({ throttle }) => throttle.ionice],
  ['RSYNC_MAX_RIOPS', 1, 1_000_000_000, ({ throttle }) => throttle.maxReadIops],
  ['RSYNC_MAX_WIOPS', 1, 1_000_000_000, ({ throttle }) => throttle.maxWriteIops],
  ['RSYNC_CPU_QUOTA', 1, 100_000, ({ throttle }) => throttle.cpuQuotaPercent],
  ['RSYNC_MEMORY_MAX_MB', 16, 1_000_000_000, ({ throttle }) => throttle.maxMemoryMb],
  ['RSYNC_STALL_LIMIT', 30, 86_400, ({ stallSeconds }) => stallSeconds],
];

t.test('every number at, below and above its limits', async (t) => {
  for (const [name, least, most, read] of NUMBERS) {
    for (const value of [least, least + 1, most - 1, most]) {
      t.equal(read(parse({ [name]: String(value) })), value, `${name} ${value}`);
      t.equal(read(parse({ [name]: ` ${value}\n` })), value, `${name} with blanks around it`);
    }
    const numbers = [least - 1, most + 1, least - 1000, most * 100].map(String);
    for (const text of [...numbers, '1.5', '1e1', '0x1', '5 MB', 'x', '--1', '+1', 'NaN', '9'.repeat(30), '٣']) {
      refused(t, { [name]: text }, name);
    }
  }
});

t.test('words, hosts, users and folders', async (t) => {
  for (const text of ['YES', 'yes', 'Yes']) t.equal(parse({ RSYNC_SPARSIFY: text }).sparsify, true);
  for (const text of ['NO', 'no']) t.equal(parse({ RSYNC_SPARSIFY: text }).sparsify, false);
  for (const text of ['1', 'true', 'maybe']) refused(t, { RSYNC_SPARSIFY: text }, 'RSYNC_SPARSIFY');
  for (const text of ['s', 'backup.example.net', '10.0.0.1', '::1', 'fe80::1%eth0', 'alias_1', 'x'.repeat(255)]) {
    t.equal(parse({ RSYNC_HOST: text }).server, text);
  }
  for (const text of ['-oProxyCommand=x', 'a b', 'a\nb', 'user@host', "a'b", '$(id)', '.', 'a/b', 'x'.repeat(256)]) {
    refused(t, { RSYNC_HOST: text }, 'RSYNC_HOST');
  }
  for (const text of ['oneadmin', 'a.b-c_d', 'x'.repeat(64)]) t.equal(parse({ RSYNC_USER: text }).user, text);
  for (const text of ['-l', 'a b', 'a:b', 'a;b', '$USER', 'x'.repeat(65)]) {
    refused(t, { RSYNC_USER: text }, 'RSYNC_USER');
  }
  t.equal(parse({ RSYNC_TMP_DIR: '/a//b/./c/' }).temporaryFolder, '/a/b/c', 'a path in its plain form');
  for (const text of ['tmp', '../tmp', '/a/../b', '~/tmp', '/a\nb', `/${'x'.repeat(4096)}`]) {
    refused(t, { RSYNC_TMP_DIR: text }, 'RSYNC_TMP_DIR');
  }
});

t.test('RSYNC_ARGS stands in place of its default, and its error says where it is from', async (t) => {
  t.strictSame(parse({ RSYNC_ARGS: ' -a  --bwlimit=800\n' }).args, ['-a', '--bwlimit=800']);
  for (const text of ['-a --rsh=sh', '-a /etc/passwd', "-a 'x"]) refused(t, { RSYNC_ARGS: text }, 'RSYNC_ARGS');
});
