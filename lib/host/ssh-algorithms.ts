import { getCiphers } from 'node:crypto';
import type { CipherAlgorithm, KexAlgorithm, MacAlgorithm, ServerHostKeyAlgorithm } from 'ssh2';
import { DriverError } from '../errors';
import type { SshTarget } from './ssh-config';

/** What ssh2 1.17 can do and OpenSSH has a name for (ssh2: lib/protocol/constants.js), in ssh2's order. */
const CIPHERS: readonly CipherAlgorithm[] = [
  'aes128-gcm@openssh.com',
  'aes256-gcm@openssh.com',
  'aes128-ctr',
  'aes192-ctr',
  'aes256-ctr',
  'chacha20-poly1305@openssh.com',
  'aes256-cbc',
  'aes192-cbc',
  'aes128-cbc',
  '3des-cbc',
];
const MACS: readonly MacAlgorithm[] = [
  'hmac-sha2-256-etm@openssh.com',
  'hmac-sha2-512-etm@openssh.com',
  'hmac-sha1-etm@openssh.com',
  'hmac-sha2-256',
  'hmac-sha2-512',
  'hmac-sha1',
  'hmac-sha1-96',
  'hmac-md5',
  'hmac-md5-96',
];
const KEX: readonly KexAlgorithm[] = [
  'curve25519-sha256',
  'curve25519-sha256@libssh.org',
  'ecdh-sha2-nistp256',
  'ecdh-sha2-nistp384',
  'ecdh-sha2-nistp521',
  'diffie-hellman-group-exchange-sha256',
  'diffie-hellman-group14-sha256',
  'diffie-hellman-group16-sha512',
  'diffie-hellman-group18-sha512',
  'diffie-hellman-group-exchange-sha1',
  'diffie-hellman-group14-sha1',
  'diffie-hellman-group1-sha1',
];
const HOST_KEYS: readonly ServerHostKeyAlgorithm[] = [
  'ssh-ed25519',
  'ecdsa-sha2-nistp256',
  'ecdsa-sha2-nistp384',
  'ecdsa-sha2-nistp521',
  'rsa-sha2-512',
  'rsa-sha2-256',
  'ssh-rsa',
];

/** OpenSSH's own list of ciphers, sorted: it is the same set from 6.7 to 10. */
const DEFAULT_CIPHERS = [
  'aes128-ctr',
  'aes128-gcm@openssh.com',
  'aes192-ctr',
  'aes256-ctr',
  'aes256-gcm@openssh.com',
  'chacha20-poly1305@openssh.com',
];

/** ssh2's names of what OpenSSL calls otherwise; a build for FIPS lacks some. */
const OPENSSL_NAME: Readonly<Record<string, string>> = {
  'aes128-gcm@openssh.com': 'aes-128-gcm',
  'aes256-gcm@openssh.com': 'aes-256-gcm',
  'chacha20-poly1305@openssh.com': 'chacha20',
  '3des-cbc': 'des-ede3-cbc',
};

/** What is offered to a host's sshd, in the order of preference. */
export interface Offer {
  readonly cipher: CipherAlgorithm[];
  readonly hmac: MacAlgorithm[];
  readonly kex: KexAlgorithm[];
  readonly serverHostKey: ServerHostKeyAlgorithm[];
}

/**
 * Returns what is offered to the host's sshd: of what the configuration allows, in its order, that which ssh2 can do.
 * - Host keys: the types in `knownTypes` come first, as in ssh(1); another type of key than the known one would be refused.
 * - Ciphers: when the configuration does not choose, AES-GCM comes first; it moves data twice as fast as ssh's own first choice.
 *
 * Throws unreachable when nothing is left.
 */
export function algorithmsFor(target: SshTarget, knownTypes: readonly string[]): Offer {
  const { cipher, hmac, kex, serverHostKey } = target.algorithms;
  const built = getCiphers();
  const ciphers = CIPHERS.filter((name) => built.includes(OPENSSL_NAME[name] ?? name.replace(/^aes(\d+)/, 'aes-$1')));
  const unchosen =
    cipher[0] === 'chacha20-poly1305@openssh.com' && [...cipher].sort().join() === DEFAULT_CIPHERS.join();
  const pick = <T extends string>(option: string, able: readonly T[], allowed: readonly string[]): T[] => {
    const both = allowed.length === 0 ? [...able] : allowed.filter((name): name is T => able.includes(name as T));
    if (both.length > 0) return both;
    const hint = `Allow one that ssh2 has in ~/.ssh/config for this host, such as ${able.slice(0, 3).join(', ')}`;
    throw new DriverError('unreachable', `${option} allows only ${allowed.join(',')}, which ssh2 cannot do`, {
      host: target.host,
      hint,
    });
  };
  const hostKeys = pick('HostKeyAlgorithms', HOST_KEYS, serverHostKey);
  const known = (name: string): boolean => knownTypes.includes(name.replace(/^rsa-sha2-.*/, 'ssh-rsa'));
  return {
    cipher: pick('Ciphers', ciphers, unchosen ? ciphers.filter((name) => cipher.includes(name)) : cipher),
    hmac: pick('MACs', MACS, hmac),
    kex: pick('KexAlgorithms', KEX, kex),
    serverHostKey: [...hostKeys.filter(known), ...hostKeys.filter((name) => !known(name))],
  };
}
