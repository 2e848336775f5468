import { access, constants } from 'node:fs/promises';
import { userInfo } from 'node:os';
import { DriverError, type MendCommand } from '../errors';
import { recordHostKey } from './known-hosts-record';
import type { SshTarget } from './ssh-config';
import { fingerprint, keyType } from './ssh-key';
import { runSshProgram, type SshEnv, shownWord } from './ssh-program';

/** One line of known_hosts that matches a host. */
export interface KnownKey {
  /** `revoked` and `authority` are the markers `@revoked` and `@cert-authority` of sshd(8). */
  readonly marker: 'none' | 'revoked' | 'authority';
  /** `ssh-ed25519`, `ssh-rsa`, ... */
  readonly type: string;
  /** The public key in the form in which it travels. */
  readonly blob: Buffer;
  readonly file: string;
}

/** What known_hosts says of a key that a host shows. */
export type KeyVerdict = 'ok' | 'unknown' | 'changed' | 'revoked';

/** The keys under which a host is known. */
export interface KnownHost {
  readonly keys: readonly KnownKey[];
  /** Keys under the name without its port: ssh(1) takes one that matches, and makes nothing of one that does not. */
  readonly portless: readonly KnownKey[];
  /** Files that are there and cannot be read. */
  readonly unreadable: readonly string[];
}

/** The check of a host's key, in the form that ssh2 wants. */
export interface HostCheck {
  /** The types of the keys under which the host is known, without repetition. */
  readonly types: readonly string[];
  /** ssh2's `hostVerifier`: answers whether the key is accepted; an unknown one that may be accepted is recorded first. */
  readonly verify: (key: Buffer, answer: (accepted: boolean) => void) => void;
  /** Why the last key was refused. */
  readonly refusal: () => DriverError | undefined;
}

/** Parses the output of `ssh-keygen -F`: comment lines, and lines of known_hosts with a hashed or plain name. */
export function parseFound(text: string, file: string): KnownKey[] {
  return text.split('\n').flatMap((line) => {
    const words = line.trim().split(/\s+/);
    const marked = words[0]?.startsWith('@') === true ? words.shift() : undefined;
    const [names, type, base64] = words;
    if (names === undefined || names.startsWith('#') || type === undefined || base64 === undefined) return [];
    const marker = marked === undefined ? 'none' : marked === '@revoked' ? 'revoked' : 'authority';
    return [{ marker, type, blob: Buffer.from(base64, 'base64'), file }];
  });
}

/**
 * Returns what the known keys say of `key`, as ssh(1) judges it: any matching line will do, and when there are only
 * others, the key has changed, of whatever type they are. Authorities are not counted: ssh2 has no host certificates.
 */
export function judgeHostKey(known: Pick<KnownHost, 'keys' | 'portless'>, key: Buffer): KeyVerdict {
  const all = [...known.keys, ...known.portless];
  if (all.some(({ marker, blob }) => marker === 'revoked' && blob.equals(key))) return 'revoked';
  if (all.some(({ marker, blob }) => marker === 'none' && blob.equals(key))) return 'ok';
  return known.keys.some(({ marker }) => marker === 'none') ? 'changed' : 'unknown';
}

/** Looks the host up in every known-hosts file with `ssh-keygen -F`, which knows hashed names, patterns and markers. */
async function findKnownHost(target: SshTarget, env: SshEnv, signal: AbortSignal): Promise<KnownHost> {
  const { name, alias, userFiles, globalFiles } = target.hostKey;
  const unreadable = new Set<string>();
  const find = async (wanted: string): Promise<KnownKey[]> => {
    const found = [...userFiles, ...globalFiles].map(async (file) => {
      const reason = await whyUnreadable(file);
      if (reason !== undefined) {
        if (reason !== 'ENOENT' && reason !== 'ENOTDIR') unreadable.add(file);
        return [];
      }
      return parseFound((await runSshProgram('ssh-keygen', ['-F', wanted, '-f', file], env, signal)).stdout, file);
    });
    return (await Promise.all(found)).flat();
  };
  const keys = await find(name);
  const elsewhere = alias === undefined && target.port !== 22 && !keys.some(({ marker }) => marker === 'none');
  return { keys, portless: elsewhere ? await find(target.hostname.toLowerCase()) : [], unreadable: [...unreadable] };
}

/** Prepares the check of the host's key: reads known_hosts, so that the answer to ssh2 needs no program. */
export async function hostVerifier(target: SshTarget, env: SshEnv, signal: AbortSignal): Promise<HostCheck> {
  const known = await findKnownHost(target, env, signal);
  let refusal: DriverError | undefined;
  const judge = async (key: Buffer): Promise<void> => {
    const verdict = judgeHostKey(known, key);
    if (verdict === 'ok') return;
    if (verdict === 'unknown' && target.hostKey.acceptUnknown) return recordHostKey(target.hostKey, key);
    throw refuse(verdict, target, known, key);
  };
  const verify = (key: Buffer, answer: (accepted: boolean) => void): void => {
    judge(key).then(
      () => answer(true),
      (error: DriverError) => {
        refusal = error;
        answer(false);
      },
    );
  };
  const plain = [...known.keys, ...known.portless].filter(({ marker }) => marker === 'none');
  return { types: [...new Set(plain.map(({ type }) => type))], verify, refusal: () => refusal };
}

function refuse(verdict: KeyVerdict, target: SshTarget, known: KnownHost, key: Buffer): DriverError {
  const { host } = target;
  const shown = `${fingerprint(key)} (${keyType(key)})`;
  if (verdict === 'revoked') {
    const file = known.keys
      .concat(known.portless)
      .find(({ marker, blob }) => marker === 'revoked' && blob.equals(key))?.file;
    const hint = 'Give the host a new key: this one was declared stolen or withdrawn';
    return new DriverError('unreachable', `the host key ${shown} is marked @revoked in ${file}`, { host, hint });
  }
  if (verdict === 'changed') {
    const { file } = known.keys.find(({ marker }) => marker === 'none') as KnownKey;
    const forget = `ssh-keygen -R ${shownWord(target.hostKey.name)} -f ${shownWord(file)}`;
    const reason = 'If the host was reinstalled, and `ssh-keygen -lf` of its key there shows this fingerprint';
    const hint = `${reason}, run \`${forget}\` and then \`${acceptCommand(target)}\`; otherwise somebody may be listening`;
    const commands: [MendCommand, MendCommand] = [{ command: forget }, { command: acceptCommand(target) }];
    return new DriverError('unreachable', `the host key has CHANGED: it is now ${shown}, ${file} has another`, {
      host,
      hint,
      mend: { commands, when: `${reason}, accept it; otherwise somebody may be listening` },
    });
  }
  const [unreadable] = known.unreadable;
  if (unreadable !== undefined) {
    const command = `chown ${userInfo().username}: ${shownWord(unreadable)}`;
    const hint = `Give it to the user of the action: \`${command}\``;
    return new DriverError('unreachable', `${unreadable} cannot be read, where the host key ${shown} may be known`, {
      host,
      hint,
      mend: { commands: [{ command, asRoot: true }] },
    });
  }
  const authorities = known.keys.some(({ marker }) => marker === 'authority');
  const note = authorities ? ' (known_hosts trusts a certificate authority for it, which the driver cannot use)' : '';
  const when = 'Compare the fingerprint with `ssh-keygen -lf` on the host';
  return new DriverError('unreachable', `the host key ${shown} is not known${note}`, {
    host,
    hint: `${when}, then run \`${acceptCommand(target)}\``,
    mend: { commands: [{ command: acceptCommand(target) }], when },
  });
}

/** The command that makes the host known to the user of the action, once the fingerprint has been compared. */
function acceptCommand(target: SshTarget): string {
  const [file] = target.hostKey.userFiles;
  const scannable = target.route.kind === 'direct' && target.hostKey.alias === undefined;
  if (scannable && file !== undefined && file !== '/dev/null') {
    const port = target.port === 22 ? '' : `-p ${target.port} `;
    return `ssh-keyscan ${port}${target.hostname} >> ${shownWord(file)}`;
  }
  return `ssh -o StrictHostKeyChecking=accept-new ${target.host} true`;
}

/** Why a file cannot be read, as Node names it; undefined when it can be. */
async function whyUnreadable(file: string): Promise<string | undefined> {
  return access(file, constants.R_OK).then(
    () => undefined,
    ({ code }: NodeJS.ErrnoException) => code ?? 'unknown',
  );
}
