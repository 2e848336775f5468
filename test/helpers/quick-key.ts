import { createCipheriv, createDecipheriv, createHash, randomBytes, scryptSync } from 'node:crypto';
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** A key file of a repository (restic design document, "Keys, Encryption and MAC"). */
interface KeyFile {
  readonly N: number;
  readonly r: number;
  readonly p: number;
  readonly salt: string;
  readonly data: string;
}

/**
 * Wraps the master key of a repository anew, with a key derivation that costs nothing: restic then opens it in
 * milliseconds instead of most of a second, so that a fault falls on what an action does and not on scrypt. The password
 * and the data stay as they are.
 */
export function quickenKey(repository: string, password: string): void {
  const folder = join(repository, 'keys');
  for (const name of readdirSync(folder)) {
    const file = JSON.parse(readFileSync(join(folder, name), 'utf8')) as KeyFile;
    const salt = Buffer.from(file.salt, 'base64');
    const sealed = Buffer.from(file.data, 'base64');
    const master = open(derive(password, salt, file), sealed);
    const cheap = { N: 2, r: 8, p: 1 };
    const data = seal(derive(password, salt, cheap), sealed.subarray(0, 16), master).toString('base64');
    const text = JSON.stringify({ ...file, ...cheap, data });
    rmSync(join(folder, name));
    writeFileSync(join(folder, createHash('sha256').update(text).digest('hex')), text, { mode: 0o400 });
  }
}

/** Writes snapshots as they are said to be (restic design document, "Snapshots"): a thousand of them in a second. */
export function writeSnapshots(repository: string, password: string, snapshots: readonly object[]): void {
  const [name = ''] = readdirSync(join(repository, 'keys'));
  const file = JSON.parse(readFileSync(join(repository, 'keys', name), 'utf8')) as KeyFile;
  const user = derive(password, Buffer.from(file.salt, 'base64'), file);
  const master = JSON.parse(open(user, Buffer.from(file.data, 'base64')).toString()) as Master;
  const key = Buffer.concat([master.encrypt, master.mac.k, master.mac.r].map((text) => Buffer.from(text, 'base64')));
  for (const snapshot of snapshots) {
    const sealed = seal(key, randomBytes(16), Buffer.from(JSON.stringify(snapshot)));
    const id = createHash('sha256').update(sealed).digest('hex');
    writeFileSync(join(repository, 'snapshots', id), sealed, { mode: 0o400 });
  }
}

/** The keys by which all else is encrypted. */
interface Master {
  readonly mac: { readonly k: string; readonly r: string };
  readonly encrypt: string;
}

/** 32 bytes for AES-256, then 16 and 16 for Poly1305-AES. */
function derive(password: string, salt: Buffer, { N, r, p }: Pick<KeyFile, 'N' | 'r' | 'p'>): Buffer {
  return scryptSync(password, salt, 64, { N, r, p, maxmem: 1 << 30 });
}

function open(key: Buffer, sealed: Buffer): Buffer {
  const text = createDecipheriv('aes-256-ctr', key.subarray(0, 32), sealed.subarray(0, 16));
  return text.update(sealed.subarray(16, -16));
}

function seal(key: Buffer, nonce: Buffer, text: Buffer): Buffer {
  const hidden = createCipheriv('aes-256-ctr', key.subarray(0, 32), nonce).update(text);
  const encrypted = createCipheriv('aes-128-ecb', key.subarray(32, 48), null).setAutoPadding(false).update(nonce);
  return Buffer.concat([nonce, hidden, poly1305(key.subarray(48, 64), encrypted, hidden)]);
}

/** RFC 8439, section 2.5.1. */
function poly1305(r: Buffer, s: Buffer, message: Buffer): Buffer {
  const number = (bytes: Buffer): bigint => BigInt(`0x${Buffer.from(bytes).reverse().toString('hex')}`);
  const factor = number(r) & 0x0ffffffc0ffffffc0ffffffc0fffffffn;
  let sum = 0n;
  for (let at = 0; at < message.length; at += 16) {
    const block = Buffer.concat([message.subarray(at, at + 16), Buffer.from([1])]);
    sum = ((sum + number(block)) * factor) % ((1n << 130n) - 5n);
  }
  const tag = (sum + number(s)) & ((1n << 128n) - 1n);
  return Buffer.from(tag.toString(16).padStart(32, '0'), 'hex').reverse();
}
