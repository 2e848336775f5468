import { createHmac, randomBytes } from 'node:crypto';
import { mkdir, open } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { HostKeyPolicy } from './ssh-config';
import { keyType } from './ssh-key';

/**
 * Returns the line that ssh(1) adds to known_hosts for a new key. With HashKnownHosts the name is
 * `|1|salt|hmac-sha1(salt, name)`, both in base64 (sshd(8), SSH_KNOWN_HOSTS FILE FORMAT).
 */
function knownHostsLine(policy: Pick<HostKeyPolicy, 'name' | 'hashNames'>, key: Buffer): string {
  return `${policy.hashNames ? hashed(policy.name) : policy.name} ${keyType(key)} ${key.toString('base64')}\n`;
}

function hashed(name: string): string {
  const salt = randomBytes(20);
  return `|1|${salt.toString('base64')}|${createHmac('sha1', salt).update(name).digest('base64')}`;
}

/**
 * Adds the key to the user's first known-hosts file, as ssh(1) does for `accept-new` and `no`.
 * Like ssh it goes on when the file cannot be written: the key is then as unknown next time.
 */
export async function recordHostKey(policy: HostKeyPolicy, key: Buffer): Promise<void> {
  const [file] = policy.userFiles;
  if (file === undefined || file === '/dev/null') return;
  try {
    await mkdir(dirname(file), { recursive: true, mode: 0o700 });
    const handle = await open(file, 'a+', 0o600);
    try {
      const { size } = await handle.stat();
      const last = size === 0 ? '\n' : (await handle.read(Buffer.alloc(1), 0, 1, size - 1)).buffer.toString();
      await handle.appendFile((last === '\n' ? '' : '\n') + knownHostsLine(policy, key));
    } finally {
      await handle.close();
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).syscall === undefined) throw error;
  }
}
