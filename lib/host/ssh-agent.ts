import { access } from 'node:fs/promises';
import type { Duplex } from 'node:stream';
import type { BaseAgent, ParsedKey, SignCallback, SigningRequestOptions } from 'ssh2';
import { loadSsh2, type Ssh2 } from './load-ssh2';
import {
  AGENT,
  AgentConnection,
  type AgentKey,
  FieldReader,
  parseKeys,
  SIGN_FLAGS,
  signRequest,
} from './ssh-agent-protocol';
import { AgentAnswerer, AgentStream } from './ssh-agent-stream';
import type { SshAuth } from './ssh-config';
import { type Identity, loadIdentities, type PrivateKey } from './ssh-identities';
import { fingerprint, keyType } from './ssh-key';

/** With what a connection logs in. */
export interface SshLogin {
  /** For ssh2's `agent`: it holds the keys to log in with, and is what the host sees as its forwarded agent. */
  readonly agent: BaseAgent;
  /** The keys that are offered, in this order: type, fingerprint and origin. */
  readonly offered: readonly string[];
  /** What could not be used and why; told when the login fails. */
  readonly skipped: () => readonly string[];
  /** The files of those that no agent holds. */
  readonly files: readonly string[];
  /** Commands by which keys could be used that could not. */
  readonly mends: readonly string[];
}

/**
 * Gathers the keys with which `ssh HOST` would log in: those of the running agent and of the readable identity files,
 * in the order of ssh(1): configured keys that the agent holds, its other keys (not with IdentitiesOnly), then files.
 * A key that only a file has is held by this process, so that it can be forwarded like the agent's own.
 */
export async function sshLogin(auth: SshAuth): Promise<SshLogin> {
  const ssh2 = await loadSsh2();
  const [held, identities, certificates] = await Promise.all([
    listKeys(auth.agentSocket),
    loadIdentities(auth.identityFiles, ssh2),
    findCertificates(auth),
  ]);
  const [usable, strange] = partition(held.keys ?? [], ({ blob }) => !(ssh2.utils.parseKey(blob) instanceof Error));
  const inAgent = ({ blob }: Identity): AgentKey | undefined => usable.find((key) => blob?.equals(key.blob));
  const configured = identities.flatMap((identity) => inAgent(identity) ?? []);
  const others = auth.identitiesOnly ? [] : usable.filter((key) => !configured.includes(key));
  const [own, useless] = partition(
    identities.filter((identity) => inAgent(identity) === undefined),
    hasKey,
  );
  const offered = [
    ...[...configured, ...others].map(({ blob, comment }) => ({ blob, from: `agent: ${comment}` })),
    ...own.map(({ key, path }) => ({ blob: key.blob, from: path })),
  ];
  const skipped = [
    ...held.problem,
    ...useless.map(({ path, problem }) => `${path}: ${problem}`),
    ...strange.map(({ blob, comment }) => `agent: ${comment}: ssh2 cannot use a key of type ${keyType(blob)}`),
    ...certificates.map((path) => `${path}: ssh2 cannot log in with a certificate`),
    ...auth.unsupported,
  ];
  const parts: AgentParts = {
    socket: held.keys === undefined ? undefined : auth.agentSocket,
    own: own.map(({ key }) => key),
    offered: offered.map(({ blob }) => blob),
    refused: (reason) => skipped.unshift(reason),
  };
  return {
    agent: joinedAgent(ssh2, parts),
    offered: offered.map(({ blob, from }) => `${keyType(blob)} ${fingerprint(blob)} (${from})`),
    skipped: () => skipped,
    files: own.map(({ path }) => path),
    mends: useless.flatMap(({ mend }) => (mend === undefined ? [] : held.keys === undefined ? withAgent(mend) : mend)),
  };
}

/** Where no agent runs, there is none yet that a key could be added to. */
function withAgent(mend: string): string {
  return mend.startsWith('ssh-add ') ? `eval "$(ssh-agent)" && ${mend}` : mend;
}

function hasKey(identity: Identity): identity is Identity & { readonly key: PrivateKey } {
  return identity.key !== undefined;
}

function partition<T, S extends T>(all: readonly T[], belongs: (one: T) => one is S): [S[], T[]];
function partition<T>(all: readonly T[], belongs: (one: T) => boolean): [T[], T[]];
function partition<T>(all: readonly T[], belongs: (one: T) => boolean): [T[], T[]] {
  return [all.filter(belongs), all.filter((one) => !belongs(one))];
}

async function listKeys(
  socket: string | undefined,
): Promise<{ readonly keys?: AgentKey[]; readonly problem: readonly string[] }> {
  if (socket === undefined) return { problem: [] };
  const running = new AgentConnection(socket);
  try {
    const keys = parseKeys(await running.ask(Buffer.from([AGENT.listKeys])));
    return keys === undefined ? { problem: ['the ssh-agent refuses to list its keys'] } : { keys, problem: [] };
  } catch (error) {
    return { problem: [`the ssh-agent does not answer: ${(error as Error).message}`] };
  } finally {
    running.close();
  }
}

/** Certificates that ssh(1) would offer: the configured ones, and those beside the identity files. */
async function findCertificates(auth: SshAuth): Promise<string[]> {
  const names = [...auth.certificateFiles, ...auth.identityFiles.map((path) => `${path}-cert.pub`)];
  const found = names.map((path) =>
    access(path).then(
      () => [path],
      () => [],
    ),
  );
  return (await Promise.all(found)).flat();
}

/** Of what the agent of one connection is made. */
interface AgentParts {
  readonly socket: string | undefined;
  readonly own: readonly PrivateKey[];
  /** The public keys to log in with. The host to which the agent is forwarded sees all keys of the running agent. */
  readonly offered: readonly Buffer[];
  /** Told of a key with which the running agent did not sign. */
  readonly refused: (reason: string) => void;
}

/** Makes the agent of one connection: the running one, if any, joined with the keys of this process. */
function joinedAgent(ssh2: Ssh2, { socket, own, offered, refused }: AgentParts): BaseAgent {
  const answerer = () => new AgentAnswerer(socket === undefined ? undefined : new AgentConnection(socket), own);
  class JoinedAgent extends ssh2.BaseAgent<ParsedKey> {
    override getIdentities(done: (error?: Error | null, keys?: ParsedKey[]) => void): void {
      const keys = offered.map((blob) => ssh2.utils.parseKey(blob));
      done(
        null,
        keys.flatMap((key) => (key instanceof Error ? [] : key)),
      );
    }

    override sign(
      key: ParsedKey,
      data: Buffer,
      options: SigningRequestOptions | SignCallback,
      done?: SignCallback,
    ): void {
      const answer = typeof options === 'function' ? options : (done ?? (() => {}));
      const hash = typeof options === 'function' ? undefined : options.hash;
      const flags = hash === 'sha512' ? SIGN_FLAGS.rsaSha512 : hash === 'sha256' ? SIGN_FLAGS.rsaSha256 : 0;
      const blob = key.getPublicSSH();
      const signer = answerer();
      signer
        .answer(signRequest(blob, data, flags))
        .then((message) => answer(null, rawSignature(message)))
        .catch((error: Error) => {
          // ssh2 would report an error here as the end of the connection. A signature that cannot be right
          // makes the server refuse this key and ask for the next one, as ssh goes on to it.
          refused(`${keyType(blob)} ${fingerprint(blob)}: the ssh-agent did not sign (${error.message})`);
          answer(null, Buffer.alloc(64));
        })
        .finally(() => signer.close());
    }

    override getStream(done: (error?: Error | null, stream?: Duplex) => void): void {
      done(null, new AgentStream(answerer()));
    }
  }
  return new JoinedAgent();
}

function rawSignature(message: Buffer): Buffer {
  if (message[0] !== AGENT.signature) throw new Error('it refused');
  const signature = new FieldReader(new FieldReader(message.subarray(1)).string());
  signature.string(); // the algorithm, which ssh2 adds itself
  return signature.string();
}
