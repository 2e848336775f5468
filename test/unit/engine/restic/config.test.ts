import t, { type Test } from 'tap';
import { parseResticConfig, type ResticConfig } from '../../../../lib/engine/restic/config';
import { DriverError } from '../../../../lib/errors';
import { parseDatastore } from '../../../../lib/opennebula/datastore';
import { Element } from '../../../../lib/opennebula/document';

const MUST = { RESTIC_SFTP_SERVER: 'server', RESTIC_PASSWORD: 'secret' };

function parse(attributes: Readonly<Record<string, string | undefined>>): ResticConfig {
  const template = Object.entries({ ...MUST, ...attributes })
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `<${name}><![CDATA[${value}]]></${name}>`)
    .join('');
  const xml = `<DATASTORE><ID>100</ID><DS_MAD>restic</DS_MAD><BASE_PATH>/b//100</BASE_PATH><TEMPLATE>${template}</TEMPLATE></DATASTORE>`;
  return parseResticConfig(parseDatastore(Element.parse(xml, 'the message'), 'restic'));
}

function refused(t: Test, attributes: Readonly<Record<string, string | undefined>>, name: string): void {
  const value = JSON.stringify(attributes[name]);
  try {
    parse(attributes);
    t.fail(`${name} = ${value} was accepted`);
  } catch (error) {
    if (!(error instanceof DriverError)) throw error;
    t.equal(error.kind, 'config', `${name} = ${value}: ${error.message}`);
    t.match(error.message, name, 'the error names the attribute');
    t.match(error.message, /onedatastore update 100|which is not/, 'and says what is expected, or what to do');
  }
}

t.test('without any attribute that may be missing: the defaults', async (t) => {
  const { password, ...config } = parse({});
  t.equal(password.reveal(), 'secret');
  t.equal(`${password} ${JSON.stringify({ password })}`, '*** {"password":"***"}');
  t.strictSame(config, {
    server: 'server',
    user: 'oneadmin',
    connections: 5,
    bandwidthLimitKib: undefined,
    compression: 'auto',
    maxThreads: undefined,
    sparsify: false,
    temporaryFolder: '/var/tmp',
    pruneMaxUnused: '0',
    pruneMaxRepack: undefined,
    throttle: {
      nice: undefined,
      ionice: undefined,
      maxReadIops: undefined,
      maxWriteIops: undefined,
      cpuQuotaPercent: undefined,
      maxMemoryMb: undefined,
    },
    lockWaitSeconds: 600,
    stallSeconds: 600,
  });
});

t.test('an empty attribute is a missing one', async (t) => {
  const names = 'SFTP_USER NICE IONICE BWLIMIT COMPRESSION CONNECTIONS MAXPROC SPARSIFY TMP_DIR PRUNE_MAX_UNUSED';
  const empty = Object.fromEntries(names.split(' ').map((name) => [`RESTIC_${name}`, ' ']));
  t.strictSame(JSON.stringify(parse(empty)), JSON.stringify(parse({})));
  for (const name of ['RESTIC_SFTP_SERVER', 'RESTIC_PASSWORD']) {
    refused(t, { [name]: undefined }, name);
    refused(t, { [name]: '' }, name);
  }
});

type Read = (config: ResticConfig) => unknown;
const NUMBERS: [name: string, least: number, most: number, read: Read][] = [
  ['RESTIC_NICE', -19, 19, ({ throttle }) => throttle.nice],
  ['RESTIC_IONICE', 0, 7, ({ throttle }) => throttle.ionice],
  ['RESTIC_BWLIMIT', 1, 1_000_000_000, ({ bandwidthLimitKib }) => bandwidthLimitKib],
  ['RESTIC_CONNECTIONS', 1, 256, ({ connections }) => connections],
  ['RESTIC_MAXPROC', 1, 4096, ({ maxThreads }) => maxThreads],
  ['RESTIC_MAX_RIOPS', 1, 1_000_000_000, ({ throttle }) => throttle.maxReadIops],
  ['RESTIC_MAX_WIOPS', 1, 1_000_000_000, ({ throttle }) => throttle.maxWriteIops],
  ['RESTIC_CPU_QUOTA', 1, 100_000, ({ throttle }) => throttle.cpuQuotaPercent],
  ['RESTIC_MEMORY_MAX_MB', 16, 1_000_000_000, ({ throttle }) => throttle.maxMemoryMb],
  ['RESTIC_LOCK_WAIT', 0, 86_400, ({ lockWaitSeconds }) => lockWaitSeconds],
  ['RESTIC_STALL_LIMIT', 30, 86_400, ({ stallSeconds }) => stallSeconds],
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

t.test('words, in any case', async (t) => {
  for (const [text, word] of [
    ['auto', 'auto'],
    ['off', 'off'],
    ['max', 'max'],
    ['MAX', 'max'],
    ['Max', 'max'],
    ['OFF', 'off'],
  ]) {
    t.equal(parse({ RESTIC_COMPRESSION: text }).compression, word);
  }
  for (const text of ['best', 'none', 'yes', 'maximum', 'a u t o']) {
    refused(t, { RESTIC_COMPRESSION: text }, 'RESTIC_COMPRESSION');
  }
  for (const text of ['YES', 'yes', 'Yes']) t.equal(parse({ RESTIC_SPARSIFY: text }).sparsify, true);
  for (const text of ['NO', 'no']) t.equal(parse({ RESTIC_SPARSIFY: text }).sparsify, false);
  for (const text of ['1', 'true', 'maybe']) refused(t, { RESTIC_SPARSIFY: text }, 'RESTIC_SPARSIFY');
  for (const text of ['SFTP', 'sftp']) t.ok(parse({ RESTIC_BACKEND: text }));
  for (const text of ['S3', 'local']) refused(t, { RESTIC_BACKEND: text }, 'RESTIC_BACKEND');
});

t.test('how much a prune may leave and do', async (t) => {
  for (const text of ['0', '10G', '1.5T', '500k', '5%', '0%', '12.5%', '100%', 'unlimited']) {
    t.equal(parse({ RESTIC_PRUNE_MAX_UNUSED: text }).pruneMaxUnused, text);
  }
  for (const text of ['-1', '101%', '1000%', '5 %', '10X', 'G', '%', 'infinite', '1;id', '--x', '1..5']) {
    refused(t, { RESTIC_PRUNE_MAX_UNUSED: text }, 'RESTIC_PRUNE_MAX_UNUSED');
  }
  for (const text of ['0', '10G', '1.5T', '500k', '7']) {
    t.equal(parse({ RESTIC_PRUNE_MAX_REPACK: text }).pruneMaxRepack, text);
  }
  for (const text of ['-1', '5%', 'unlimited', '10X', '1 G', '$(id)']) {
    refused(t, { RESTIC_PRUNE_MAX_REPACK: text }, 'RESTIC_PRUNE_MAX_REPACK');
  }
});

t.test('hosts, users and folders', async (t) => {
  for (const text of ['s', 'backup.example.net', '10.0.0.1', '::1', 'fe80::1%eth0', 'alias_1', 'x'.repeat(255)]) {
    t.equal(parse({ RESTIC_SFTP_SERVER: text }).server, text);
  }
  for (const text of ['-oProxyCommand=x', 'a b', 'a\nb', 'user@host', "a'b", '$(id)', '.', 'a/b', 'x'.repeat(256)]) {
    refused(t, { RESTIC_SFTP_SERVER: text }, 'RESTIC_SFTP_SERVER');
  }
  for (const text of ['oneadmin', 'a.b-c_d', 'x'.repeat(64)]) {
    t.equal(parse({ RESTIC_SFTP_USER: text }).user, text);
  }
  for (const text of ['-l', 'a b', 'a:b', 'a;b', '$USER', 'x'.repeat(65)]) {
    refused(t, { RESTIC_SFTP_USER: text }, 'RESTIC_SFTP_USER');
  }
  t.equal(parse({ RESTIC_TMP_DIR: '/a//b/./c/' }).temporaryFolder, '/a/b/c', 'a path in its plain form');
  for (const text of ['tmp', '../tmp', '/a/../b', '~/tmp', '/a\nb', `/${'x'.repeat(4096)}`]) {
    refused(t, { RESTIC_TMP_DIR: text }, 'RESTIC_TMP_DIR');
  }
});

t.test('a password may hold anything that fits into one line', async (t) => {
  const every = Array.from({ length: 95 }, (_, n) => String.fromCharCode(32 + n)).join('');
  for (const text of ['x', ' blanks around ', every, 'äöü 密码 \u{1f512}', '\t', 'x'.repeat(4096), '123e45', '0012']) {
    const password = text.replaceAll(']]>', ']]]]><![CDATA[>');
    t.equal(parse({ RESTIC_PASSWORD: password }).password.reveal(), text);
  }
  for (const text of ['two\nlines', 'ends\n', 'x'.repeat(4097), 'é'.repeat(2049)]) {
    refused(t, { RESTIC_PASSWORD: text }, 'RESTIC_PASSWORD');
  }
  try {
    parse({ RESTIC_PASSWORD: 'hidden\nlines' });
  } catch (error) {
    t.notMatch(String(error), 'hidden', 'the error does not show it');
  }
});
