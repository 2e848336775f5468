import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import t from 'tap';
import { frontEndFrom } from '../../../lib/opennebula/front-end';

function place(root: string, path: string, text: string): void {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), text);
}

t.test('where the files are', async (t) => {
  t.equal(frontEndFrom({}).varDir, '/var/lib/one');
  t.equal(frontEndFrom({ ONE_LOCATION: '', HOME: '' }).varDir, '/var/lib/one', 'empty means unset');
  const front = frontEndFrom({ ONE_LOCATION: '/opt//one/', HOME: '/home/oneadmin/' });
  t.match(front, { varDir: '/opt/one/var', home: '/home/oneadmin' });
  t.throws(() => frontEndFrom({ ONE_LOCATION: 'one' }), { kind: 'config', message: /ONE_LOCATION/ });
});

t.test('the endpoint: environment, then file, then default', async (t) => {
  const home = t.testdir();
  t.equal((await frontEndFrom({}).endpoint()).href, 'http://localhost:2633/RPC2');
  t.equal((await frontEndFrom({ HOME: home }).endpoint()).href, 'http://localhost:2633/RPC2');
  place(home, '.one/one_endpoint', 'https://front.example.net:8443/RPC2 \nhttp://second/\n');
  t.equal((await frontEndFrom({ HOME: home }).endpoint()).href, 'https://front.example.net:8443/RPC2');
  t.equal(
    (await frontEndFrom({ HOME: home, ONE_XMLRPC: 'http://10.0.0.1:2633/RPC2' }).endpoint()).host,
    '10.0.0.1:2633',
  );
  await t.rejects(frontEndFrom({ ONE_XMLRPC: 'localhost:2633' }).endpoint(), {
    kind: 'oned',
    message: /not an http or https URL\. Correct/,
  });
});

t.test('the credentials', async (t) => {
  const home = t.testdir();
  place(home, '.one/one_auth', 'oneadmin:pass:word\nignored\n');
  place(home, 'other_auth', 'carol:secret');
  place(home, 'bad_auth', 'top-secret-without-user\n');
  t.equal((await frontEndFrom({ HOME: home }).session()).reveal(), 'oneadmin:pass:word');
  t.equal((await frontEndFrom({ HOME: home, ONE_AUTH: join(home, 'other_auth') }).session()).reveal(), 'carol:secret');
  t.notMatch(`${await frontEndFrom({ HOME: home }).session()}`, /pass/, 'it does not print');
  place(home, 'var/.one/onegate_auth', 'serveradmin:0123abcd\n');
  t.equal((await frontEndFrom({ ONE_LOCATION: home }).serverAdminCredentials()).reveal(), 'serveradmin:0123abcd');

  await t.rejects(frontEndFrom({}).session(), { kind: 'oned', message: /ONE_AUTH.*HOME.*as oneadmin/ });
  await t.rejects(frontEndFrom({ ONE_AUTH: join(home, 'none') }).session(), {
    kind: 'oned',
    message: /none, .* missing or empty\. .*oneadmin/,
  });
  await t.rejects(frontEndFrom({ ONE_AUTH: home }).session(), { kind: 'oned', message: /cannot be read: EISDIR/ });
  const bad = await frontEndFrom({ ONE_AUTH: join(home, 'bad_auth') })
    .session()
    .catch((error: Error) => error);
  t.match(bad, { kind: 'oned', message: /bad_auth is not USER:PASSWORD/ });
  t.notMatch(String(bad), /top-secret/, 'the error does not quote the file');
  await t.rejects(frontEndFrom({ ONE_LOCATION: '/nowhere' }).serverAdminCredentials(), {
    kind: 'oned',
    message: /onegate_auth/,
  });
});

t.test('BACKUP_BASE_PATH of datastore.conf', async (t) => {
  const root = t.testdir();
  const front = frontEndFrom({ ONE_LOCATION: root });
  t.equal(await front.backupBasePath(), undefined, 'without the file');
  const read = (text: string) => {
    place(root, 'var/remotes/etc/datastore/datastore.conf', text);
    return front.backupBasePath();
  };
  const cases: [conf: string, path: string | undefined][] = [
    ['', undefined],
    ['# BACKUP_BASE_PATH="/no"\nRESTRICTED_DIRS="/"\n', undefined],
    ['BACKUP_BASE_PATH=\n', undefined],
    ['BACKUP_BASE_PATH=""', undefined],
    ['BACKUP_BASE_PATH=/plain # where backups are staged\n', '/plain'],
    ['  export BACKUP_BASE_PATH="/with blanks"; echo\n', '/with blanks'],
    ["BACKUP_BASE_PATH='/$HOME//literal'\nOTHER=/x", '/$HOME/literal'],
    ['BACKUP_BASE_PATH=/first\nBACKUP_BASE_PATH="/last"/sub\r\n', '/last/sub'],
    ['BACKUP_BASE_PATH="/a\\"b"\n', '/a"b'],
    ['NOT_BACKUP_BASE_PATH=/no\n', undefined],
  ];
  for (const [conf, path] of cases) t.equal(await read(conf), path, JSON.stringify(conf));
  for (const conf of [
    'BACKUP_BASE_PATH="$HOME/x"',
    'BACKUP_BASE_PATH=`pwd`',
    'BACKUP_BASE_PATH="/open',
    'BACKUP_BASE_PATH=relative/x',
  ]) {
    await t.rejects(read(conf), { kind: 'config', message: /BACKUP_BASE_PATH in .*datastore\.conf/ }, conf);
  }
  const conf = join(root, 'var/remotes/etc/datastore/datastore.conf');
  rmSync(conf);
  mkdirSync(conf);
  await t.rejects(front.backupBasePath(), { kind: 'config', message: /datastore\.conf cannot be read: EISDIR/ });
});
