import { execFileSync } from 'node:child_process';
import t from 'tap';
import * as qemuImg from '../../../lib/command/qemu-img';
import { quote } from '../../../lib/command/quote';
import * as restic from '../../../lib/command/restic';
import type { ResticAccess } from '../../../lib/command/restic-access';
import {
  parseFileList,
  parseSnapshots,
  parseStatus,
  parseSummary,
  parseVersion,
  summaryIn,
} from '../../../lib/command/restic-output';
import { throttle } from '../../../lib/command/throttle';
import { parseAbsolutePath, parseHostName, parseUserName } from '../../../lib/opennebula/ids';
import { Secret } from '../../../lib/secret';
import { failure } from '../../helpers/failure';

const path = (text: string) => parseAbsolutePath(text, 'a path');
const access: ResticAccess = {
  repository: path('/backups/100/7'),
  sftp: { server: parseHostName('backup1', 'server'), user: parseUserName('oneadmin', 'user') },
  password: new Secret('hidden'),
  correctedBy: 'with: onedatastore update 100',
  connections: 5,
  bandwidthLimitKib: undefined,
  compression: 'auto',
  maxThreads: undefined,
  throttle: [],
};

t.test('a quoted word reaches the program as it is, whatever it holds', async (t) => {
  const words = ['plain', 'two words', "it's", '$HOME `id` $(id)', 'a\nb', '', '*', '\\', '"', '!x', '-n', ';&|<>'];
  const printed = execFileSync('sh', ['-c', quote(['printf', '%s\\0', ...words])], { encoding: 'utf8' });
  t.strictSame(printed.split('\0').slice(0, -1), words);
});

t.test('restic: limits and options stand in argv, the password never does', async (t) => {
  const limited = { ...access, connections: 9, bandwidthLimitKib: 800, compression: 'max' as const, maxThreads: 2 };
  const command = restic.backup(
    { ...limited, throttle: ['nice', '-n', '5'] },
    { files: [path('/s/-x')], tags: ['one-7'] },
  );
  t.strictSame(command.argv.slice(0, 4), ['nice', '-n', '5', 'restic']);
  for (const word of [
    'sftp.connections=9',
    '--limit-upload=800',
    '--limit-download=800',
    '--compression=max',
    '--tag=one-7',
  ]) {
    t.ok(command.argv.includes(word), word);
  }
  t.equal(command.env?.GOMAXPROCS, '2');
  t.notMatch(JSON.stringify(command), 'hidden');
  t.equal(command.secrets?.RESTIC_PASSWORD?.reveal(), 'hidden');
  t.equal(command.argv.at(-2), '--', 'no file can be taken for an option');
  t.notOk(
    restic.backup(access, { files: [], tags: [] }).argv.some((word) => /compression|limit|connections/.test(word)),
    'nothing that is not set',
  );
});

t.test('restic: on the backup server itself the repository is a path, and no ssh is started', async (t) => {
  const { argv } = restic.prune({ ...access, sftp: undefined }, { maxUnused: '0', maxRepack: '5G' });
  t.strictSame(argv, ['restic', '-r', '/backups/100/7', 'prune', '--max-unused=0', '--max-repack-size=5G']);
});

t.test('restic: an IPv6 address is not cut at its colons', async (t) => {
  const server = parseHostName('2001:db8::5', 'server');
  const { argv } = restic.forget({ ...access, sftp: { server, user: parseUserName('u', 'user') } }, ['ab']);
  t.ok(argv.includes('sftp:u@[2001:db8::5]:/backups/100/7'));
});

t.test('restic: what it prints is understood, old and new', async (t) => {
  const old =
    '{"message_type":"summary","files_new":1,"total_files_processed":3,"total_bytes_processed":42,"snapshot_id":"48d91e39"}';
  t.strictSame(parseSummary(`{"message_type":"status","percent_done":0}\n${old}\n`), {
    snapshot: '48d91e39',
    files: 3,
    bytes: 42,
  });
  const full = old.replace('48d91e39', '4f884064aa'.padEnd(64, '0'));
  t.equal(parseSummary(full).snapshot, '4f884064', 'the first 8 characters are the SOURCE');
  t.throws(() => parseSummary('{"message_type":"status"}'), failure('failed'), 'unknown is not success');
  t.throws(() => parseSummary(''), failure('failed'));
  t.equal(summaryIn('{"message_type":"summary"}'), undefined, 'half a summary, in the middle of a run, throws nothing');
  t.strictSame(parseStatus('\u0000{"message_type":"status","percent_done":0.5,"total_bytes":10,"bytes_done":5}'), {
    done: 0.5,
    bytesDone: 5,
    bytesTotal: 10,
  });
  t.equal(parseStatus('no JSON'), undefined);
  t.strictSame(parseSnapshots('[]'), []);
  t.strictSame(parseSnapshots('[{"id":"ab","time":"2026-01-01T00:00:00Z","paths":["/a"],"tags":null}]'), [
    { id: 'ab', time: '2026-01-01T00:00:00Z', paths: ['/a'], tags: [] },
  ]);
  const nodes =
    '{"struct_type":"snapshot"}\n{"struct_type":"node","type":"dir","path":"/a"}\n{"struct_type":"node","type":"file","path":"/a/vm.xml","size":5}';
  t.strictSame(parseFileList(nodes), [{ path: '/a/vm.xml', sizeBytes: 5 }]);
  t.strictSame(parseVersion({ exitCode: 0, stdout: 'restic 0.14.0 compiled with go1.19', stderr: '' }), [0, 14]);
  t.throws(() => parseVersion({ exitCode: 0, stdout: 'bash', stderr: '' }), failure('failed'));
});

/** The end of what restic prints of an error that it did not expect. */
const TRACE = [
  'github.com/restic/restic/internal/repository.(*Repository).SearchKey',
  '\t/build/restic-0.14.0/internal/repository/repository.go:625',
  'main.glob..func2',
  '\t/build/restic-0.14.0/cmd/restic/main.go:42',
  'runtime.goexit',
  '\truntime/asm_amd64.s:1594',
].join('\n');

t.test('restic: each failure is known by its words in 0.14 and by its exit code since 0.17', async (t) => {
  const classify = (exitCode: number, stderr: string) =>
    restic
      .prune(access, { maxUnused: '0', maxRepack: undefined })
      .classify?.({ exitCode, stdout: '', stderr }, 'host1');
  const locked =
    'unable to create lock in backend: repository is already locked exclusively by PID 11145 on vm by root (UID 0, GID 0)\nlock was created at 2026-11-20 05:53:47 (2.9s ago)';
  const cases: [number, string, string, RegExp][] = [
    [
      1,
      'Fatal: unable to open config file: Lstat: file does not exist\nIs there a repository at the following location?\nsftp:x',
      'notFound',
      /there is no repository/,
    ],
    [
      10,
      '{"message_type":"exit_error","code":10,"message":"Fatal: repository does not exist"}',
      'notFound',
      /there is no repository/,
    ],
    [1, 'Fatal: wrong password or no key found', 'password', /onedatastore update 100/],
    [1, 'Fatal: *** password or no key found', 'password', /onedatastore update 100/],
    [1, 'Fatal: wrong *** or no key found', 'password', /onedatastore update 100/],
    [12, '', 'password', /RESTIC_PASSWORD/],
    [1, locked, 'locked', /exclusively by PID 11145 on vm by root, since 2026/],
    [11, locked, 'locked', /PID 11145 on vm/],
    [
      1,
      'subprocess ssh: ssh: connect to host 127.0.0.1 port 22: Connection refused\nFatal: unable to open repository: unable to start the sftp session, error: EOF',
      'unreachable',
      /Connection refused/,
    ],
    [
      1,
      'Fatal: unable to start the sftp session, error: error receiving version packet from server: server unexpectedly closed connection: unexpected EOF',
      'unreachable',
      /backup1/,
    ],
    [1, 'sftp: no space left on device', 'noSpace', /full/],
    [1, 'invalid id "abcdef12": no matching ID found for prefix "abcdef12"', 'notFound', /no matching ID/],
    [2, 'cannot dump file: decrypting blob 358f failed: ciphertext verification failed', 'damaged', /damaged/],
    [
      3,
      '{"message_type":"error","error":{"message":"open /s/b: permission denied"},"during":"archival"}',
      'failed',
      /could not be read: open/,
    ],
    [1, 'Fatal: unable to save snapshot: Write: sftp: "Failure" (SSH_FX_FAILURE)', 'failed', /refused to write/],
    [
      1,
      `\x1b[2KFatal: sftp: "Failure"\n\x1b[2Ksignal interrupt received, cleaning up`,
      'failed',
      /write: sftp: "Failure" \(on/,
    ],
    [
      1,
      'Fatal: write /tmp/restic-temp-pack-3: no space left on device',
      'noSpace',
      /over 100 MB in \/tmp.* TMPDIR for that login/,
    ],
    [
      1,
      'ignoring error for /a: write /t/disk.0: file too large\nFatal: There were 1 errors',
      'failed',
      /: write \/t\/disk.0: file too/,
    ],
    // observed: an empty config with 0.14 and 0.18, a cut key with 0.14, data that is gone with 0.14
    [1, `Fatal: config file has zero size\n${TRACE}`, 'damaged', /is damaged: config file has zero size \(on host1\)/],
    [
      1,
      JSON.stringify({ message_type: 'exit_error', code: 1, message: `Fatal: config file has zero size\n${TRACE}` }),
      'damaged',
      /is damaged: config file has zero size \(on host1\)/,
    ],
    [1, 'Fatal: Unmarshal: unexpected end of JSON input', 'damaged', /unexpected end of JSON/],
    [121, 'Load(<data/ab12>, 5, 0) returned error, retrying after 1s: file does not exist', 'damaged', /Load\(<data/],
    [1, 'Fatal: something new', 'failed', /: restic ended with exit code 1: something new \(on host1\)$/],
  ];
  for (const [exitCode, stderr, kind, message] of cases) {
    const error = classify(exitCode, stderr);
    t.equal(error?.kind, kind, stderr);
    t.match(error?.message, message);
    t.match(error?.message, /^[\x20-\x7e]+$/, 'one line of ASCII');
    t.match(error?.message, 'host1', 'the host is named');
  }
  t.equal(classify(127, 'sh: restic: not found'), undefined, 'what is not of restic is told by others');
  t.equal(classify(1, ''), undefined);
});

t.test('qemu-img: a disk that refers to another file is refused', async (t) => {
  const parse = (text: string) => qemuImg.info(path('/d')).parse({ exitCode: 0, stdout: text, stderr: '' });
  t.strictSame(parse('{"format":"qcow2","virtual-size":1048576}'), { format: 'qcow2', virtualSizeBytes: 1048576 });
  t.throws(
    () => parse('{"format":"qcow2","virtual-size":1,"format-specific":{"data":{"data-file":"/etc/shadow"}}}'),
    failure('damaged'),
  );
  t.throws(() => parse('{"format":"vmdk","virtual-size":1}'), failure('damaged'));
  t.equal(qemuImg.check(path('/d')).classify?.({ exitCode: 2, stdout: '', stderr: 'ERROR' }, 'h')?.kind, 'damaged');
});

t.test('throttle: only what is set, and a scope that stays a child of its supervisor', async (t) => {
  const none = {
    nice: undefined,
    ionice: undefined,
    maxReadIops: undefined,
    maxWriteIops: undefined,
    cpuQuotaPercent: undefined,
    maxMemoryMb: undefined,
  };
  t.strictSame(throttle(none, path('/s')), []);
  t.strictSame(throttle({ ...none, nice: -5, ionice: 0 }, path('/s')), [
    'nice',
    '-n',
    '-5',
    'ionice',
    '-c',
    '2',
    '-n',
    '0',
  ]);
  const words = throttle(
    { ...none, maxReadIops: 10, maxWriteIops: 20, cpuQuotaPercent: 150, maxMemoryMb: 512 },
    path('/s'),
  );
  t.ok(words.includes('--scope') && words.includes('--user'));
  for (const word of ['CPUQuota=150%', 'IOReadIOPSMax=/s 10', 'IOWriteIOPSMax=/s 20', 'MemoryMax=512M'])
    t.ok(words.includes(`--property=${word}`), word);
});
