import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';
import { waitFor } from '../helpers/waits';
import { isMended } from './doctor-report';
import type { DoctorWorld } from './doctor-world';

/** Puts something else into a file for as long as the test lasts. */
export function change(t: Test, file: string, edit: (text: string) => string): void {
  const before = readFileSync(file, 'utf8');
  t.teardown(() => writeFileSync(file, before));
  const after = edit(before);
  if (after === before) throw new Error(`${file}: nothing changed`);
  writeFileSync(file, after);
}

/** What breaks below every driver. */
export function brokenSsh(t: Test, world: DoctorWorld): void {
  t.test('a wrong key', async (t) => {
    const { ssh } = world.w;
    const wrong = ssh.makeKey('wrong', { authorized: false });
    change(t, ssh.config, (text) => text.replaceAll(ssh.key, wrong));
    await isMended(t, world, { machine: 'host1', what: 'ssh', says: /^the login of \S+ is refused: offered .*wrong/ });
  });

  t.test('a host key that changed', async (t) => {
    const { ssh } = world.w;
    const other = readFileSync(`${ssh.makeKey('other', { authorized: false })}.pub`, 'utf8');
    const line = new RegExp(`^\\[127\\.0\\.0\\.1\\]:${ssh.port('server')} .*$`, 'm');
    change(t, ssh.knownHosts('server'), (text) =>
      text.replace(line, () => `[127.0.0.1]:${ssh.port('server')} ${other.trim()}`),
    );
    await isMended(t, world, {
      ...{ machine: 'server', what: 'ssh', says: /^the host key has CHANGED: it is now SHA256:/ },
      hint: /If the host was reinstalled.*otherwise somebody may be listening/,
    });
  });

  t.test('a clock that is off', async (t) => {
    world.give('host1', 'date', `exec /bin/date -d '+1 hour' "$@"`);
    await isMended(t, world, {
      machine: 'host1',
      what: 'clock',
      says: /^3[56][0-9]{2} s ahead of that of the front-end/,
    });
  });

  t.test('an empty agent', async (t) => {
    const { folder, ssh } = world.w;
    const key = ssh.makeKey('locked', { passphrase: 'open it' });
    change(t, ssh.config, (text) => text.replaceAll(ssh.key, key));
    const socket = join(folder, 'agent');
    const agent = spawn('ssh-agent', ['-D', '-a', socket], { stdio: 'ignore' });
    t.teardown(async () => {
      const ended = once(agent, 'close');
      agent.kill();
      await ended;
    });
    await waitFor('the socket of ssh-agent', () => existsSync(socket));
    const typed = join(folder, 'passphrase');
    writeFileSync(typed, '#!/bin/sh\necho open it\n', { mode: 0o755 });
    const typing = { SSH_AUTH_SOCK: socket, SSH_ASKPASS: typed, SSH_ASKPASS_REQUIRE: 'force' };
    Object.assign(world.env, typing);
    t.teardown(() => {
      for (const name of Object.keys(typing)) delete world.env[name];
    });
    await isMended(t, world, {
      machine: 'host1',
      what: 'ssh',
      says: /there was no key to offer; not used: \S*locked: it is encrypted/,
    });
    spawnSync('ssh-add', ['-q', '-D'], { env: world.env });
  });
}
