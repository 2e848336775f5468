import { createPrivateKey, type KeyObject, sign } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import type { ParsedKey } from 'ssh2';
import { quote } from '../command/quote';
import type { Ssh2 } from './load-ssh2';
import { FieldReader, SIGN_FLAGS, sshString } from './ssh-agent-protocol';
import { keyType } from './ssh-key';

/** What an identity file of ssh_config gave. */
export interface Identity {
  readonly path: string;
  /** The public key; undefined when the file gave none. */
  readonly blob: Buffer | undefined;
  /** The private key; undefined when it cannot be used without an agent, `problem` then says why. */
  readonly key: PrivateKey | undefined;
  readonly problem: string;
  /** The command that makes it usable, where there is one. */
  readonly mend?: string;
}

/** A private key in memory. */
export class PrivateKey {
  readonly type: string;
  readonly blob: Buffer;
  readonly #key: KeyObject;

  constructor(parsed: ParsedKey) {
    this.type = parsed.type;
    this.blob = parsed.getPublicSSH();
    this.#key = createPrivateKey(parsed.getPrivatePEM());
  }

  /** Signs as an agent does: an algorithm and a signature, each a `string` (RFC 4253 6.6, 5656 3.1.2, 8332 3, 8709 6). */
  sign(data: Buffer, flags: number): Buffer {
    if (this.type === 'ssh-rsa') {
      const [name, hash] =
        (flags & SIGN_FLAGS.rsaSha512) !== 0
          ? (['rsa-sha2-512', 'sha512'] as const)
          : (flags & SIGN_FLAGS.rsaSha256) !== 0
            ? (['rsa-sha2-256', 'sha256'] as const)
            : (['ssh-rsa', 'sha1'] as const);
      return Buffer.concat([sshString(name), sshString(sign(hash, data, this.#key))]);
    }
    const hash = { 'ecdsa-sha2-nistp256': 'sha256', 'ecdsa-sha2-nistp384': 'sha384', 'ecdsa-sha2-nistp521': 'sha512' }[
      this.type
    ];
    if (hash === undefined) return Buffer.concat([sshString(this.type), sshString(sign(null, data, this.#key))]);
    const both = sign(hash, data, { key: this.#key, dsaEncoding: 'ieee-p1363' });
    const halves = [both.subarray(0, both.length / 2), both.subarray(both.length / 2)];
    return Buffer.concat([
      sshString(this.type),
      sshString(Buffer.concat(halves.map((half) => sshString(positive(half))))),
    ]);
  }
}

/** The bytes of a number as an `mpint` (RFC 4251 5): no zeros in front, but one where the highest bit is set. */
function positive(bytes: Buffer): Buffer {
  const first = bytes.findIndex((byte) => byte !== 0);
  const short = first < 0 ? Buffer.alloc(0) : bytes.subarray(first);
  return (short[0] ?? 0) & 0x80 ? Buffer.concat([Buffer.alloc(1), short]) : short;
}

/** Loads the identity files, in their order; a file that does not exist is left out, as ssh does. */
export async function loadIdentities(paths: readonly string[], ssh2: Ssh2): Promise<Identity[]> {
  const loaded = await Promise.all([...new Set(paths)].map((path) => loadIdentity(path, ssh2)));
  return loaded.filter((identity) => identity !== undefined);
}

async function loadIdentity(path: string, ssh2: Ssh2): Promise<Identity | undefined> {
  const publicBlob = async (): Promise<Buffer | undefined> => {
    const text = await readFile(`${path}.pub`, 'utf8').catch(() => '');
    return publicLine(text);
  };
  const unusable = async (problem: string, blob?: Buffer, mend?: readonly string[]): Promise<Identity> => {
    const rest = { key: undefined, problem, ...(mend === undefined ? {} : { mend: quote([...mend, path]) }) };
    return { path, blob: blob ?? (await publicBlob()), ...rest };
  };
  try {
    const { mode, uid } = await stat(path);
    if (uid === process.getuid?.() && (mode & 0o077) !== 0 && !path.endsWith('.pub')) {
      const problem = `others can read it, so ssh refuses it too; run \`chmod 600 ${path}\``;
      return unusable(problem, undefined, ['chmod', '600']);
    }
    const bytes = await readFile(path);
    const parsed = [ssh2.utils.parseKey(bytes)].flat()[0];
    if (parsed !== undefined && !(parsed instanceof Error) && parsed.isPrivateKey()) {
      const key = new PrivateKey(parsed);
      return { path, blob: key.blob, key, problem: '' };
    }
    const text = bytes.toString('latin1');
    const mend = isEncrypted(text) ? ['ssh-add'] : undefined;
    return unusable(unreadable(text), publicLine(text) ?? embeddedPublicKey(text), mend);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT')
      return unusable(`it cannot be read: ${(error as Error).message}`);
    const blob = await publicBlob();
    return blob === undefined ? undefined : unusable('only its public part is here, and no agent holds it', blob);
  }
}

/** Says why a file is not a private key that can be used. */
function unreadable(text: string): string {
  if (publicLine(text) !== undefined) return 'it is a public key, and no agent holds the private one';
  const type = keyType(embeddedPublicKey(text));
  if (type.startsWith('sk-')) return 'it is a hardware key, which works only through an agent';
  if (isEncrypted(text)) return 'it is encrypted, and no agent holds it';
  return `its format is one that the driver cannot read; \`ssh-keygen -p\` rewrites it`;
}

function isEncrypted(text: string): boolean {
  if (/^(Proc-Type: 4,ENCRYPTED|-----BEGIN ENCRYPTED PRIVATE KEY-----)/m.test(text)) return true;
  const cipher = openSshFields(text)?.string().toString();
  return cipher !== undefined && cipher !== 'none';
}

/** The fields of a key file of OpenSSH's own format, after the magic (openssh PROTOCOL.key). */
function openSshFields(text: string): FieldReader | undefined {
  const base64 = /-----BEGIN OPENSSH PRIVATE KEY-----([\sA-Za-z0-9+/=]+)-----END/.exec(text)?.[1];
  const bytes = Buffer.from(base64 ?? '', 'base64');
  const magic = 'openssh-key-v1\0';
  return bytes.subarray(0, magic.length).toString('latin1') === magic
    ? new FieldReader(bytes.subarray(magic.length))
    : undefined;
}

function embeddedPublicKey(text: string): Buffer | undefined {
  const fields = openSshFields(text);
  if (fields === undefined) return undefined;
  try {
    for (const _ of ['cipher', 'kdf', 'kdf options']) fields.string();
    fields.number();
    return fields.string();
  } catch {
    return undefined;
  }
}

function publicLine(text: string): Buffer | undefined {
  const base64 = /^(?:ssh|ecdsa|sk)-\S+ (AAAA[A-Za-z0-9+/=]+)/m.exec(text)?.[1];
  return base64 === undefined ? undefined : Buffer.from(base64, 'base64');
}
