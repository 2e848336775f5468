import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough, Writable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import type { Command } from '../../../lib/command/command';
import { DriverError } from '../../../lib/errors';
import { LocalHost } from '../../../lib/host/local';
import { parseAbsolutePath } from '../../../lib/opennebula/ids';
import { Secret } from '../../../lib/secret';
import { failure } from '../../helpers/failure';
import { localHost as host } from '../../helpers/local-host';
import { waitFor } from '../../helpers/waits';

const folder = mkdtempSync(join(tmpdir(), 'one-backup-unit-'));
t.teardown(() => rmSync(folder, { recursive: true, force: true }));
const path = (name: string) => parseAbsolutePath(join(folder, name), 'a path');

function sh(script: string, more: Partial<Command<string>> = {}): Command<string> {
  return { argv: ['sh', '-c', script], purpose: 'try something', parse: ({ stdout }) => stdout, dryRun: '', ...more };
}

function running(word: string): boolean {
  return readdirSync('/proc').some((pid) => {
    try {
      return (
        /^\d+$/.test(pid) &&
        Number(pid) !== process.pid &&
        readFileSync(`/proc/${pid}/cmdline`, 'latin1').split('\0').includes(word)
      );
    } catch {
      return false;
    }
  });
}

async function gone(word: string): Promise<boolean> {
  for (let n = 0; n < 300 && running(word); n++) await sleep(100);
  return !running(word);
}

t.test('a command gets its environment, its secrets by stdin, and nothing on stdin', async (t) => {
  const secret = new Secret(`it's $x "q" \\ \`id\``);
  t.equal(
    await host().run(
      sh('printf "%s|%s" "$PLAIN" "$HIDDEN"; cat', { env: { PLAIN: 'p q' }, secrets: { HIDDEN: secret } }),
    ),
    `p q|${secret.reveal()}`,
  );
  const listed = await host().run(
    sh('tr "\\0" " " </proc/$PPID/cmdline; tr "\\0" " " </proc/$$/cmdline', { secrets: { HIDDEN: secret } }),
  );
  t.notMatch(listed, secret.reveal(), 'no argv shows it');
});

t.test('failures: the exit code, the last words without secrets, a missing program, a signal', async (t) => {
  const fails = (script: string, more: Partial<Command<string>> = {}) =>
    host()
      .run(sh(script, more))
      .then(
        () => 'done',
        (error: DriverError) => error,
      );
  t.match(await fails('echo first >&2; echo "it said hidden" >&2; exit 7', { secrets: { X: new Secret('hidden') } }), {
    kind: 'failed',
    message: /cannot try something: sh ended with exit code 7: it said \*\*\*/,
  });
  t.match(await fails('kill -KILL $$'), { kind: 'failed', message: /signal 9/ });
  t.match(
    await host()
      .run({ ...sh(''), argv: ['no-such-program-here'] })
      .catch((error) => error),
    { kind: 'noProgram', message: /no-such-program-here/ },
  );
  t.match(await fails('exit 4', { classify: () => new DriverError('locked', 'ours') }), { kind: 'locked' });
  t.equal(await host().run(sh('echo x; exit 3', { accept: [3] })), 'x\n');
});

t.test('an abort ends the program and what it started, and reports its own reason', async (t) => {
  const abort = new AbortController();
  const run = host(abort.signal).run(sh('sleep 4711 & wait'));
  await waitFor('the program runs', () => running('4711'));
  abort.abort(new DriverError('cancelled', 'enough'));
  await t.rejects(run, failure('cancelled', 'enough'));
  t.ok(await gone('4711'));
});

for (const [answer, options] of [
  ['yes', 'that knows'],
  ['no', 'that does not know'],
]) {
  t.test(`a setpriv ${options} --pdeathsig is asked once, and what it says is not the program's`, async (t) => {
    const [bin, calls] = [path(`bin-${answer}`), path(`calls-${answer}`)];
    mkdirSync(bin);
    const goOn = answer === 'yes' ? 'exec /usr/bin/setpriv "$@"' : 'echo "unrecognized option" >&2; exit 1';
    writeFileSync(join(bin, 'setpriv'), `#!/bin/sh\necho "$*" >>${calls}\n${goOn}\n`, { mode: 0o755 });
    const one = host(undefined, { ...process.env, PATH: `${bin}:${process.env.PATH}` });
    const said = sh('echo to stderr >&2', { parse: ({ stderr }) => stderr });
    t.equal(await one.run(said), 'to stderr\n');
    t.equal(await one.run(said), 'to stderr\n');
    const asked = ['--pdeathsig TERM --version'];
    const run = ['--pdeathsig TERM sh -c echo to stderr >&2'];
    t.same(readFileSync(calls, 'utf8').trim().split('\n'), answer === 'yes' ? [...asked, ...run, ...run] : asked);
  });
}

t.test('a program that ignores its soft signal is killed', async (t) => {
  const abort = new AbortController();
  const run = host(abort.signal).run(sh('trap "" TERM INT; sleep 4712; sleep 4712'));
  await waitFor('the program runs', () => running('4712')); // by then it ignores the signals
  abort.abort(new DriverError('cancelled', 'enough'));
  await t.rejects(run, failure('cancelled', 'enough'));
  t.ok(await gone('4712'));
});

t.test(
  'what moves data stalls not, also as the grandchild of a shell that waits, or of virt-sparsify; what moves none does',
  async (t) => {
    const watched = new LocalHost({
      ...{ env: process.env, signal: new AbortController().signal, trace: () => {} },
      supervision: { stallSeconds: 10, marker: undefined },
    });
    const busy = 'for n in 1 2 3 4 5 6 7 8 9 10 11 12; do head -c 9000 /dev/zero >/dev/null; sleep 2; done';
    const leaving = (name: string): Command<string> => {
      const program = path(name);
      writeFileSync(program, `#!/bin/sh\nsh -c '${busy}; :'; :\n`, { mode: 0o755 });
      return { ...sh(''), argv: [program] };
    };
    await Promise.all([
      watched.run(sh(`( ${busy}; : ); :`)).then((said) => t.equal(said, '')),
      watched.run(leaving('virt-sparsify')).then((said) => t.equal(said, '')),
      t.rejects(watched.run(leaving('restic')), failure('stalled')), // its ssh is not counted
      t.rejects(watched.run(sh('sleep 60; :')), failure('stalled')),
    ]);
  },
);

t.test('cleaning up runs although the action was aborted', async (t) => {
  t.equal(await host(AbortSignal.abort()).run(sh('echo cleaned'), { evenAbortedMs: 5_000 }), 'cleaned\n');
  const slow = host().run(sh('sleep 60'), { evenAbortedMs: 100 });
  await t.rejects(
    slow,
    failure('stalled', /^cannot try something within 0\.1 s/),
    'its own limit is not called a cancel',
  );
  await t.rejects(host(AbortSignal.abort()).run(sh('echo not')), failure('cancelled'));
});

t.test('output flows; a reader that goes away ends the program, which may still clean up', async (t) => {
  const taken: Buffer[] = [];
  const output = new PassThrough();
  output.on('data', (chunk) => taken.push(chunk));
  let counted = 0;
  await host().run(sh('head -c 3000000 /dev/zero'), {
    output,
    onData: (bytes) => {
      counted += bytes;
    },
  });
  t.equal(counted, 3_000_000);
  t.equal(Buffer.concat(taken).length, 3_000_000);
  const closing = new Writable({ write: (_chunk, _encoding, done) => done(new Error('EPIPE')) });
  const cleaned = path('cleaned');
  const loop = `trap 'echo bye > ${cleaned}; exit 1' TERM; while :; do printf %65536s x || break; done`;
  await t.rejects(host().run(sh(loop), { output: closing }), failure('cancelled'));
  t.ok(existsSync(cleaned), 'it was told by its signal, not by SIGPIPE');
});

t.test('lines come one by one', async (t) => {
  const lines: string[] = [];
  t.equal(
    await host().run(sh('printf "a\\nb"; sleep 0.2; printf "c\\n\\nd"'), { onLine: (line) => lines.push(line) }),
    'd',
  );
  t.strictSame(lines, ['a', 'bc']);
});

t.test('programs: those that exist, no others', async (t) => {
  t.strictSame([...(await host().programs(['sh', 'no-such-program-here']))], ['sh']);
});

t.test('files: complete or not there, links as links, nearest parent for the space', async (t) => {
  const { files } = host();
  await files.makeFolder(path('a/b'));
  await files.write(path('a/b/f'), 'text');
  t.equal(statSync(path('a/b/f')).mode & 0o777, 0o600);
  t.strictSame(readdirSync(path('a/b')), ['f'], 'nothing but the file');
  symlinkSync('/etc/passwd', path('a/b/link'));
  const listed = await files.list(path('a/b'), []);
  t.strictSame(listed.map(({ name, type }) => [name, type]).sort(), [
    ['f', 'file'],
    ['link', 'link'],
  ]);
  t.ok((await files.space(path('not/yet/there'))).totalBytes > 0);
  await files.remove(path('a'));
  await files.remove(path('a'));
  await t.rejects(files.list(path('a'), []), failure('notFound', /does not exist/));
  await t.rejects(files.rename(path('x'), path('y')), failure('notFound'));
});

t.test('restic gets nothing of what a host has set for backups of its own', async (t) => {
  mkdirSync(path('own-tools'));
  writeFileSync(path('own-tools/restic'), '#!/bin/sh\nenv | grep ^RESTIC_ | sort\n', { mode: 0o755 });
  const foreign = {
    ...{ RESTIC_PASSWORD: 'theirs', RESTIC_PASSWORD_FILE: '/theirs', RESTIC_PASSWORD_COMMAND: 'echo theirs' },
    ...{ RESTIC_REPOSITORY: '/theirs', RESTIC_REPOSITORY_FILE: '/theirs', RESTIC_COMPRESSION: 'off' },
  };
  const env = { PATH: `${path('own-tools')}:/usr/bin:/bin`, ...foreign, RESTIC_CACHE_DIR: '/cache' };
  for (const before of [[], ['nice', '-n', '1']]) {
    const [program = 'restic', ...words] = [...before, 'restic'];
    const command = sh('', { argv: [program, ...words], secrets: { RESTIC_PASSWORD: new Secret('ours') } });
    const seen = await host(undefined, env).run({ ...command, env: { RESTIC_PROGRESS_FPS: '1' } });
    t.equal(seen, 'RESTIC_CACHE_DIR=/cache\nRESTIC_PASSWORD=ours\nRESTIC_PROGRESS_FPS=1\n');
  }
});
