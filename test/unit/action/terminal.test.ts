import { PassThrough, Writable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { parseCommandLine } from '../../../lib/action/argv';
import { backup } from '../../../lib/action/backup';
import { backupMarker, parseHostAndFolder } from '../../../lib/action/host-and-folder';
import { ls } from '../../../lib/action/ls';
import { monitor } from '../../../lib/action/monitor';
import { progressLine } from '../../../lib/action/progress';
import { Report } from '../../../lib/action/report';
import { DriverError, ERROR_KINDS, oneAsciiLine } from '../../../lib/errors';
import { failure } from '../../helpers/failure';

async function line(verb: Parameters<typeof parseCommandLine>[0], ...words: string[]) {
  const parsed = await parseCommandLine(verb, '/script', words);
  if ('text' in parsed) throw new Error('text, not a call');
  return parsed;
}

t.test("oned's calls: plain words, and -i -1", async (t) => {
  t.equal((await line(monitor, '100')).argument('DS_ID'), '100');
  t.equal((await line(ls, '-i', '-1')).argument('INCREMENT_ID'), '-1');
  t.equal((await line(ls, '-i', '2')).argument('INCREMENT_ID'), '2');
  t.equal((await line(ls)).argument('INCREMENT_ID'), '');
  const call = await line(backup, 'h:/d', '0:1', 'one-7', '-', '7', '0');
  t.strictSame([call.argument('JOB_ID'), call.dryRun, call.verbose, call.messageFile], ['-', false, false, undefined]);
});

t.test('options of a person, anywhere; numbers stay texts', async (t) => {
  const call = await line(monitor, '--dry-run', '0100', '--message', 'f.xml', '--verbose');
  t.strictSame([call.argument('DS_ID'), call.dryRun, call.verbose, call.messageFile], ['0100', true, true, 'f.xml']);
});

t.test('a wrong call says what was expected', async (t) => {
  await t.rejects(line(monitor), failure('usage', /0 arguments given, expected 1 \(DS_ID\)/));
  await t.rejects(line(monitor, '1', '2'), failure('usage'));
  await t.rejects(line(monitor, '1', '--unknown'), failure('usage', /unknown/i));
  await t.rejects(line(monitor, '1', '--message'), failure('usage'));
});

t.test('--help states the contract', async (t) => {
  const help = await parseCommandLine(backup, '/script', ['--help']);
  t.strictSame(await parseCommandLine(backup, '/script', ['-h']), help, 'the same');
  const text = 'text' in help ? help.text : '';
  for (const word of ['HOST:DIR', 'DEPLOY_ID', 'stdin', 'stdout', 'Exit codes', 'Example', '--dry-run', '--message'])
    t.match(text, word);
  for (const { exitCode } of Object.values(ERROR_KINDS))
    t.match(text, new RegExp(`^  ${exitCode} `, 'm'), `exit code ${exitCode}`);
  t.ok(
    text.split('\n').every((one) => one.length <= 100),
    'fits a terminal',
  );
});

t.test('HOST:DIR and the marker of a backup', async (t) => {
  t.match(parseHostAndFolder('localhost:/var/lib/one//datastores/102/1'), {
    host: 'localhost',
    folder: '/var/lib/one/datastores/102/1',
  });
  t.match(parseHostAndFolder('fe80::1:/d'), { host: 'fe80::1', folder: '/d' });
  for (const bad of ['host', ':/d', 'host:relative', '-x:/d', 'a b:/d', 'h:/a/../b'])
    t.throws(() => parseHostAndFolder(bad), failure('usage'), bad);
  t.equal(backupMarker('a:/x//1', 'one-1'), backupMarker('b:/x/1/', 'one-1'), 'the same VM');
  for (const other of [
    backupMarker('a:/x/10', 'one-1'),
    backupMarker('a:/y/1', 'one-1'),
    backupMarker('a:/x/1', 'one-10'),
  ])
    t.not(other, backupMarker('a:/x/1', 'one-1'));
});

function streams(tty = false) {
  const stdout = new PassThrough();
  const stderr = Object.assign(new PassThrough(), { isTTY: tty, columns: 60 });
  return { stdout, stderr, out: () => String(stdout.read() ?? ''), err: () => String(stderr.read() ?? '') };
}

t.test('on failure: one plain line, all others with a prefix and no number after it', async (t) => {
  const io = streams();
  const report = new Report(io, true);
  report.log('42 things');
  report.debug('more');
  report.fail(
    new DriverError('locked', 'it is\nlocked \u2026', { host: 'h', hint: 'Wait', cause: new Error('below') }),
  );
  const lines = io.err().trimEnd().split('\n');
  const plain = lines.filter((one) => !/^(INFO|DEBUG): [^0-9]/.test(one));
  t.strictSame(plain, ['it is locked ? (on h). Wait.']);
  t.ok(
    lines.some((one) => one.includes('below')),
    '--verbose shows what is underneath',
  );
  t.equal(io.out(), '');
});

t.test('an answer is ASCII; whether it arrived is known', async (t) => {
  const io = streams();
  t.ok(await new Report(io, false).reply(['a  b \u00e4', 'c']));
  t.equal(io.out(), 'a  b ?\nc\n');
  const broken = new Writable({ write: (_chunk, _encoding, done) => done(new Error('EPIPE')) });
  t.notOk(await new Report({ stdout: broken, stderr: io.stderr }, false).reply(['x']));
});

t.test(
  'progress: only on a terminal, after a second, never wider than it, gone before anything else is written',
  async (t) => {
    const silent = streams();
    const shown = streams(true);
    const clock = Date.now;
    const began = clock();
    Date.now = () => began; // a second may be over before a busy machine has looked
    t.teardown(() => {
      Date.now = clock;
    });
    const reports = [new Report(silent, false), new Report(shown, false)];
    for (const report of reports) report.step('store a backup with a long name of its own');
    for (const report of reports) report.transfer(512 * 2 ** 20, 2 ** 30);
    await sleep(300);
    t.equal(shown.err(), '', 'nothing in the first second');
    Date.now = () => began + 5_000;
    await sleep(300);
    for (const report of reports) report.log('something');
    t.equal(silent.err(), 'INFO: something\n');
    const drawn = shown.err();
    t.match(drawn, '50 %');
    t.match(drawn, /\r +\rINFO: something\n$/);
    t.ok(drawn.split('\r').every((one) => one.length < 60));
    t.notMatch(drawn, '\u001b', 'on any terminal');
    await Promise.all(reports.map((report) => report.reply([])));
    shown.err();
    await sleep(300);
    t.equal(shown.err(), '', 'and it stays gone');
    t.equal(progressLine('x', 2 ** 30, 2 ** 31, 10), 'x: 50 %, 1.0 GiB of 2.0 GiB, 102 MiB/s, 0:10 left');
    t.equal(progressLine('x', 5, 0, 0), 'x: 5 B, 0 B/s');
    t.equal(progressLine('prune', 0, 0, 65), 'prune, 1:05');
  },
);

t.test('every kind of error has a code; long and odd texts become one line', async (t) => {
  t.equal(new DriverError('password', 'x').exitCode, 7);
  t.ok(Object.values(ERROR_KINDS).every(({ exitCode }) => exitCode > 0 && exitCode < 64));
  t.equal(oneAsciiLine('a\tb\r\n c\u0000\u00e9'), 'a b c??');
  t.equal(oneAsciiLine('x'.repeat(5000)).length, 1000);
});
