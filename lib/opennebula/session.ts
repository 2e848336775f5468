import { createCipheriv, createHash } from 'node:crypto';
import { Secret } from '../secret';

/**
 * Returns a session that acts as that user, made with the credentials of the server administrator
 * (`serveradmin:PASSWORD`). It is valid until `expiresAt` (seconds since 1970). Source: contract, "oned's API"; oned's
 * server_cipher authentication.
 */
export function sessionAs(username: string, credentials: Secret, expiresAt: number): Secret {
  const line = credentials.reveal();
  const colon = line.indexOf(':');
  const [server, password] = [line.slice(0, colon), line.slice(colon + 1)];
  const key = createHash('sha256').update(password).digest('hex').slice(0, 32);
  const cipher = createCipheriv('aes-256-cbc', key, key.slice(0, 16));
  const token = cipher.update(`${server}:${username}:${expiresAt}`, 'utf8', 'base64') + cipher.final('base64');
  return new Secret(`${server}:${username}:${token}`);
}
