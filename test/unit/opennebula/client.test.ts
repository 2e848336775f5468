import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { DriverError } from '../../../lib/errors';
import { OnedClient } from '../../../lib/opennebula/client';
import { MESSAGE_LIMIT_BYTES } from '../../../lib/opennebula/document';
import { parseDatastoreId } from '../../../lib/opennebula/ids';
import { sessionAs } from '../../../lib/opennebula/session';
import { Secret } from '../../../lib/secret';
import { ONE_AUTH, SERVERADMIN_PASSWORD, startOned } from '../../helpers/oned';

const never = new AbortController().signal;
const id = (number: number) => parseDatastoreId(String(number), 'the test');
const plain = (endpoint: string, signal = never) => new OnedClient(new URL(endpoint), new Secret(ONE_AUTH), signal);

t.test('calls and answers', async (t) => {
  const message = readFileSync(join(__dirname, '../../fixtures/oned-messages/restore-increment-named.xml'), 'utf8');
  const datastore = /<DATASTORE><ID>.*<\/DATASTORE>/.exec(message)?.[0] as string;
  const oned = await startOned({ datastores: { 100: datastore } });
  t.teardown(() => oned.close());
  const client = plain(oned.endpoint);

  const template = 'NAME = "a & <b> \\"c\\" ]] Ü 🙂"\nPATH = "x\r\ny\rz"\n';
  t.equal(await client.allocateImage(template, id(101)), 40);
  t.equal(await client.allocateImage(template, id(101)), 41);
  t.equal(await client.allocateTemplate(template), 7);
  const info = await client.datastoreInfo(id(100));
  t.equal(info.child('TEMPLATE').textOf('RESTIC_PASSWORD'), `s3cr3t & <pass> "quoted" 'apos'`);
  await client.datastoreInfo(id(100), false);
  t.same(
    oned.calls.map(({ method, params, via }) => [method, params, via]),
    [
      ['one.image.allocate', [template, 101, false], 'plain'],
      ['one.image.allocate', [template, 101, false], 'plain'],
      ['one.template.allocate', [template], 'plain'],
      ['one.datastore.info', [100, true], 'plain'],
      ['one.datastore.info', [100, false], 'plain'],
    ],
  );
  const calls = oned.calls.length;
  await t.rejects(client.allocateTemplate('A = "\u0007"\n'), { kind: 'message', message: /control character/ });
  t.equal(oned.calls.length, calls, 'a text that XML cannot carry is not sent');
});

t.test('a session of serveradmin for another user', async (t) => {
  const oned = await startOned();
  t.teardown(() => oned.close());
  const now = Math.floor(Date.now() / 1000);
  const as = (password: string, expiresAt: number) =>
    new OnedClient(new URL(oned.endpoint), sessionAs('carol', new Secret(`serveradmin:${password}`), expiresAt), never);
  t.equal(await as(SERVERADMIN_PASSWORD, now + 120).allocateTemplate('NAME = "x"\n'), 7);
  t.match(oned.calls, [{ user: 'carol', via: 'serveradmin', expiresAt: now + 120 }]);
  await t.rejects(as(SERVERADMIN_PASSWORD, now - 1).allocateTemplate('NAME = "x"\n'), {
    kind: 'oned',
    message: /authenticated/,
  });
  await t.rejects(as('wrong', now + 120).allocateTemplate('NAME = "x"\n'), { kind: 'oned', message: /authenticated/ });
});

t.test('what oned refuses is passed on, without the session', async (t) => {
  const reason = `[one.image.allocate] Not enough space in datastore for ${ONE_AUTH}.`;
  const oned = await startOned({ refuse: { method: 'one.image.allocate', nth: 2, message: reason } });
  t.teardown(() => oned.close());
  const client = plain(oned.endpoint);
  t.equal(await client.allocateImage('NAME = "x"\n', id(1)), 40);
  const error = await client.allocateImage('NAME = "x"\n', id(1)).catch((thrown: unknown) => thrown);
  t.match(error, {
    kind: 'oned',
    message: /^oned refused one\.image\.allocate: .*Not enough space in datastore for \*\*\*\. Correct/,
  });
  t.notMatch(String(error), /sesame/);
  t.equal(await client.allocateImage('NAME = "x"\n', id(1)), 41, 'only that one call was refused');
  await t.rejects(client.datastoreInfo(id(9)), { kind: 'oned', message: /Error getting datastore \[9\]/ });
});

t.test('what is not oned', async (t) => {
  const oned = await startOned();
  t.teardown(() => oned.close());
  const client = plain(oned.endpoint);
  const triple = (result: string) =>
    `<methodResponse><params><param><value><array><data><value><boolean>1</boolean></value>${result}</data></array></value></param></params></methodResponse>`;
  const cases: [status: number, body: string, message: RegExp][] = [
    [404, 'no', /one\.datastore\.info with HTTP status 404/],
    [200, '<html><body>hello</body></html>', /not one of its XML-RPC API/],
    [200, 'hello', /not one of its XML-RPC API/],
    [200, '<!DOCTYPE x [<!ENTITY e "x">]><methodResponse/>', /not one of its XML-RPC API/],
    [200, triple(''), /incomplete list/],
    [200, triple('<value><string>&lt;IMAGE/&gt;</string></value>'), /answered <IMAGE> instead of <DATASTORE>/],
    [
      200,
      '<methodResponse><fault><value><struct><member><name>faultCode</name><value><int>-506</int></value></member><member><name>faultString</name><value><string>no such method</string></value></member></struct></value></fault></methodResponse>',
      /refused one\.datastore\.info: no such method/,
    ],
    [200, 'x'.repeat(MESSAGE_LIMIT_BYTES + 1), /larger than 16 MiB/],
  ];
  for (const [status, body, message] of cases) {
    oned.behaviour = { raw: { status, body } };
    const error = await client.datastoreInfo(id(1)).catch((thrown: unknown) => thrown);
    t.match(error, { kind: 'oned', message }, `${status} ${body.slice(0, 60)}`);
    t.notMatch(String(error), /sesame/);
  }
  oned.behaviour = { raw: { status: 200, body: triple('<value>-1</value>') } };
  await t.rejects(client.allocateImage('NAME = "x"\n', id(1)), {
    kind: 'oned',
    message: /is "-1", which is not an id/,
  });
  await t.rejects(client.allocateTemplate('NAME = "x"\n'), { kind: 'oned', message: /answered no id/ });
  oned.behaviour = { raw: { status: 200, body: triple('<value>12</value>') } };
  t.equal(await client.allocateTemplate('NAME = "x"\n'), 12, 'a value without its type is a string');
});

t.test('no oned, and none that answers', async (t) => {
  const oned = await startOned({ raw: 'never' });
  t.teardown(() => oned.close());
  const reason = new DriverError('cancelled', 'the action was cancelled by SIGTERM');
  const abort = new AbortController();
  const waiting = plain(oned.endpoint, abort.signal).allocateTemplate('NAME = "x"\n');
  setTimeout(() => abort.abort(reason), 50);
  t.equal(await waiting.catch((thrown: unknown) => thrown), reason, 'the signal ends a call, with its reason');
  await t.rejects(plain(oned.endpoint, AbortSignal.abort()).allocateTemplate(''), {
    kind: 'cancelled',
    message: /one.template.allocate was cancelled/,
  });

  const timeout = AbortSignal.timeout;
  t.teardown(() => {
    AbortSignal.timeout = timeout;
  });
  let limit = 0;
  AbortSignal.timeout = (milliseconds) => {
    limit = milliseconds;
    return timeout.call(AbortSignal, milliseconds / 1000);
  };
  await t.rejects(plain(oned.endpoint).allocateTemplate(''), {
    kind: 'oned',
    message: /did not answer one\.template\.allocate within 30 s, and may still do it \(at http:\/\/127/,
  });
  t.equal(limit, 30_000);

  await oned.close();
  await t.rejects(plain(oned.endpoint).allocateTemplate(''), {
    kind: 'oned',
    message: /ECONNREFUSED \(at http:\/\/127\.0\.0\.1:[0-9]+\/RPC2\)\. Check that oned runs/,
  });
});
