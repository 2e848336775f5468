import { execFileSync } from 'node:child_process';
import t from 'tap';
import { askVersion } from '../../../lib/command/machine-facts';
import { missingRights } from '../../../lib/command/zfs-rights';
import { foldCommand, remedy } from '../../../lib/control/doctor-report';
import { examineLinks } from '../../../lib/control/examine-links';
import { programsLink, type RemoteMachine, remoteLinks } from '../../../lib/control/machine-links';
import { serverLink } from '../../../lib/control/server-way';
import { type Check, failed, fine, type Link } from '../../../lib/engine/examination';
import { folderLink, spaceCheck } from '../../../lib/engine/examined-folder';
import { DriverError } from '../../../lib/errors';
import type { Host } from '../../../lib/host/host';
import { parseSshG, sshTarget } from '../../../lib/host/ssh-config';
import { parseAbsolutePath, parseHostName, parseUserName } from '../../../lib/opennebula/ids';
import { host, only } from './fake-host';

const signal = new AbortController().signal;
const name = parseHostName('host1', 'a host');
const login = { server: parseHostName('backup', 'a server'), user: parseUserName('oneadmin', 'a user') };

t.test('what builds on a broken link is not examined; all else is', async (t) => {
  const link = (what: string, state: Check['state'], ...after: string[]): Link => ({
    ...{ what, after },
    examine: async () => [{ state, says: what }],
  });
  const broken: Link = {
    what: 'b',
    after: ['a'],
    examine: () => Promise.reject(new DriverError('failed', 'is broken')),
  };
  const links = [link('a', 'warning'), broken, link('c', 'ok', 'b'), link('d', 'ok', 'c'), link('e', 'ok', 'a')];
  const states = (await examineLinks(links, signal)).map(
    ({ what, checks: [{ state, says }] }) => `${what} ${state}: ${says}`,
  );
  t.strictSame(states, [
    'a warning: a',
    'b failure: is broken',
    'c not examined: b must work first',
    'd not examined: c must work first',
    'e ok: e',
  ]);
  await t.rejects(examineLinks([link('a', 'ok')], AbortSignal.abort(new Error('stop'))), /stop/);
});

t.test('a long command is folded so that it can be pasted', async (t) => {
  const command = `printf '%s\\n' 'two  words' "and $((1 + 1)) more" it\\'s ${'x'.repeat(30)} ${'y'.repeat(30)} | cat`;
  const lines = foldCommand('# ', command, 40);
  t.ok(lines.length > 2);
  t.ok(
    lines.every((line) => line.length <= 40),
    lines.join('\n'),
  );
  const run = (text: string): string => execFileSync('sh', ['-c', text], { encoding: 'utf8' });
  t.equal(run(lines.join('\n').slice(2)), run(command));
  t.strictSame(foldCommand('$ ', 'ls -l', 40), ['$ ls -l']);
  const check = failed(
    new DriverError('failed', 'x', { hint: 'words', mend: { commands: [{ command: 'a', on: 'h', asRoot: true }] } }),
  );
  t.strictSame(remedy(check, 40), ['h# a'], 'commands take the place of words');
  t.strictSame(remedy({ ...fine('x'), hint: 'Do it' }, 40), ['Do it.']);
});

/** What ssh of OpenSSH 9.2 says, from its warning on. */
const CHANGED = `@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @
@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@
IT IS POSSIBLE THAT SOMEONE IS DOING SOMETHING NASTY!
Someone could be eavesdropping on you right now (man-in-the-middle attack)!
It is also possible that a host key has just been changed.
The fingerprint for the ED25519 key sent by the remote host is
SHA256:mvUVeHiPqGEuEgUU5GtIQ+VO31fuXPg6EAOvBpvMFlQ.
Please contact your system administrator.
Host key verification failed.
`;

t.test('from a host to the server: each way to fail has its own mend', async (t) => {
  const config: [number, string] = [0, 'hostname 192.0.2.9\nport 2222\nuserknownhostsfile ~/.ssh/known_hosts /x\n'];
  const way = (stderr: string, more = {}, programs = ['ssh-add']) =>
    only(
      serverLink({
        host: host(programs, { '-s sftp': [stderr === '' ? 0 : 255, '', stderr], 'ssh -G': config, ...more }),
        login,
        serverAddress: async () => '192.0.2.9',
        keyFile: async () => '/k/id_ed25519',
      }),
    );
  const commands = ({ mend }: Check): string[] =>
    (mend?.commands ?? []).map(({ on = '', command }) => `${on}: ${command}`);
  t.match(await way(''), { state: 'ok' });
  const unknown = await way('No ED25519 host key is known for x\nHost key verification failed.\n');
  t.match(unknown, { state: 'failure', says: /not known here/ });
  const scan = 'host1: ssh-keyscan -p 2222 192.0.2.9 >> ~/.ssh/known_hosts';
  t.strictSame(commands(unknown), [scan]);
  const changed = await way(CHANGED);
  t.match(changed, { hint: /somebody may be listening/ });
  t.match(
    changed.says,
    /has CHANGED, as this host knows it: it is now SHA256:mvUVeHiPqGEuEgUU5GtIQ\+VO31fuXPg6EAOvBpvMFlQ$/,
  );
  t.strictSame(commands(changed), ["host1: ssh-keygen -R '[192.0.2.9]:2222' -f ~/.ssh/known_hosts", scan]);
  const refused = 'oneadmin@backup: Permission denied (publickey).\n';
  t.match(await way(refused, { 'ssh-add': [2, ''] }), {
    says: /no agent is forwarded/,
    hint: /AllowAgentForwarding yes/,
  });
  t.strictSame(commands(await way(refused, { 'ssh-add': [1, 'The agent has no identities.\n'] })), [': ssh-add']);
  const introduce = ': ssh-copy-id -i /k/id_ed25519 oneadmin@backup';
  t.strictSame(commands(await way(refused, { 'ssh-add': [0, '256 SHA256:x\n'] })), [introduce]);
  t.strictSame(commands(await way(refused, {}, [])), [introduce]);
  t.strictSame(commands(await way('ssh: Could not resolve hostname backup: Name or service not known\n')), [
    "host1: echo '192.0.2.9 backup' >> /etc/hosts",
  ]);
  const closed = 'ssh: connect to host backup port 22: Connection refused\n';
  t.match(await way(closed), {
    state: 'failure',
    says: /port 22: Connection refused/,
    hint: /ssh -A host1 ssh oneadmin@backup/,
  });
});

t.test('login and clock', async (t) => {
  const target = sshTarget(name, parseSshG('hostname 127.0.0.1\nport 22\nuser oneadmin\n'), {});
  const links = (programs: string[], time: number, role: RemoteMachine['role'] = 'host') =>
    remoteLinks({ role, target, needsShell: role === 'host', host: host(programs, { 'date -u': [0, `${time}\n`] }) });
  const now = Math.round(Date.now() / 1000);
  const jumping = sshTarget(name, parseSshG('hostname inner\nproxyjump outer\n'), {});
  const [itsName] = remoteLinks({ role: 'host', target: jumping, needsShell: true, host: host([], {}) });
  t.match(
    await only(itsName),
    { state: 'ok', says: /looked up by the jump host/ },
    'what goes on there is not stopped',
  );
  const clock = (programs: string[], time: number) => only(links(programs, time).find(({ what }) => what === 'clock'));
  t.match(await clock(['date'], now + 2), { state: 'ok' });
  t.match(await clock(['date'], now + 60), { state: 'warning', says: /^(59|60) s ahead of/ });
  t.match(await clock(['date'], now - 3600), {
    state: 'failure',
    says: /^36\d\d s behind that/,
    hint: /every machine says so, it is the clock of the front-end/,
    mend: { commands: [{ asRoot: true, on: 'host1' }] },
  });
  t.match(await clock([], now), { state: 'not examined' });
  const ssh = (programs: string[], role?: RemoteMachine['role']) =>
    only(links(programs, now, role).find(({ what }) => what === 'ssh'));
  t.match(await ssh(['sh']), { state: 'ok', says: 'login as oneadmin' });
  t.match(await ssh([]), { state: 'failure', says: /gives no shell/ });
  t.match(await ssh([], 'server'), { state: 'ok', says: /SFTP only/ });
});

t.test('programs: missing, too old, and those that can be done without', async (t) => {
  const version = { args: ['--version'], least: [3, 1, 3] };
  const programs = [
    { name: 'tool', package: 'tools', version },
    { name: 'flock', package: 'util-linux' },
    { name: 'nice-to-have', package: 'nice', without: { state: 'warning' as const, says: 'slower' } },
  ];
  const look = async (found: string[], told: string) => {
    const place = { host: host(found, { 'tool --version': [0, told] }), on: 'host1', programs };
    return programsLink(place, []).examine();
  };
  t.match(await look(['sh', 'tool', 'flock', 'nice-to-have'], 'tool  version 3.10.0\n'), [
    { state: 'ok', says: 'tool 3.10.0, and 2 more' },
  ]);
  t.match(await look(['sh', 'tool', 'flock'], 'v3.1.3'), [
    { state: 'ok' },
    { state: 'warning', says: 'there is no nice-to-have: slower' },
  ]);
  const mend = { commands: [{ command: 'apt-get install -y tools', on: 'host1', asRoot: true }] };
  t.match((await look(['sh', 'tool', 'flock', 'nice-to-have'], '3.1.2'))[0], {
    state: 'failure',
    says: /3\.1\.2 is too old: 3\.1\.3 or newer/,
    hint: /no newer one, put it into \/usr\/local\/bin there/,
    mend,
  });
  t.match((await look(['sh', 'nice-to-have'], ''))[0], {
    says: 'there is no tool and no flock',
    mend: { commands: [{ command: 'apt-get install -y tools util-linux' }] },
  });
  t.match(await look([], ''), [{ state: 'ok', says: /SFTP only/ }]);
  const told = (stdout: string, stderr = '') => askVersion('x', []).parse({ exitCode: 0, stdout, stderr });
  t.strictSame(told('', 'OpenSSH_9.2p1 Debian-2, OpenSSL 3.0.15'), [9, 2]);
  t.strictSame(told('zfs-2.3.9-1\nzfs-kmod-2.3.9-1\n'), [2, 3, 9]);
  t.strictSame(told('who knows'), []);
});

t.test('folders: room, and whether something can be written', async (t) => {
  const GiB = 2 ** 30;
  t.match(spaceCheck({ freeBytes: 4 * GiB, totalBytes: 8 * GiB }, '/x', 'du /x'), {
    state: 'ok',
    says: '/x has 4.0 GiB free of 8.0 GiB',
  });
  t.match(spaceCheck({ freeBytes: GiB, totalBytes: 100 * GiB }, '/x', 'du /x'), { state: 'warning' });
  const full = spaceCheck({ freeBytes: 0, totalBytes: GiB }, '/x', 'du /x');
  t.match(full, { state: 'failure', says: /^full: /, hint: /shown there by: du \/x$/ });
  const path = parseAbsolutePath('/a/datastores/100', 'a path');
  const look = (refusal: DriverError | undefined, there: string) => {
    const files = {
      space: async () => ({ freeBytes: GiB, totalBytes: 2 * GiB }),
      list: async (asked: string) => {
        if (asked.length > there.length) throw new DriverError('notFound', 'x');
        return [];
      },
      write: async () => {
        if (refusal !== undefined) throw refusal;
      },
      remove: async () => {},
    };
    return only(
      folderLink({ files } as unknown as Host, { what: 'folder', path, isMade: true, user: 'oneadmin', on: 'backup' }),
    );
  };
  t.match(await look(undefined, '/a'), { state: 'ok', says: /^\/a has / });
  const denied = new DriverError('failed', 'no permission for /x');
  const command = (one: string) => ({
    state: 'failure',
    mend: { commands: [{ command: one, on: 'backup', asRoot: true }] },
  });
  t.match(await look(denied, '/a'), command('install -d -o oneadmin /a/datastores'));
  t.match(await look(denied, '/a/datastores'), command('chown oneadmin /a/datastores'));
  t.match(await look(denied, path), command(`chown oneadmin ${path}`));
  t.match(await look(new DriverError('failed', 'cannot use /x: Failure'), path), {
    state: 'failure',
    hint: /read-only, or a quota/,
  });
});

t.test('rights that zfs allow shows', async (t) => {
  const text = `oneadmin backups
---- Permissions on tank/backups ---------------------------------------
Permission sets:
	@props atime,checksum,compression,recordsize,quota
Local permissions:
	user oneadmin mount
Local+Descendent permissions:
	user oneadmin @props,clone,create,hold,release
	user other destroy
	group backups snapshot
---- Permissions on tank ------------------------------------------------
Descendent permissions:
	everyone userprop
Local+Descendent permissions:
	group wheel rollback
`;
  const missing = missingRights('tank/backups', login.user).parse({ exitCode: 0, stdout: text, stderr: '' });
  t.strictSame(missing, ['mount', 'destroy', 'rollback']);
});
