import { createHash } from 'node:crypto';

/** Returns the type that a public key begins with, such as `ssh-ed25519`; empty when it is none. */
export function keyType(blob: Buffer | undefined): string {
  return blob === undefined || blob.length < 4 ? '' : blob.subarray(4, 4 + blob.readUInt32BE(0)).toString('latin1');
}

/** Returns the fingerprint as OpenSSH shows it: `SHA256:` and base64 without padding. */
export function fingerprint(blob: Buffer): string {
  return `SHA256:${createHash('sha256').update(blob).digest('base64').replace(/=+$/, '')}`;
}
