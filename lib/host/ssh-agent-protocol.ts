import { connect, type Socket } from 'node:net';

/** Numbers of the agent protocol (draft-ietf-sshm-ssh-agent, sections 6.1 and 6.2). */
export const AGENT = { failure: 5, listKeys: 11, keys: 12, sign: 13, signature: 14 } as const;

/** Flags of a request to sign with an RSA key (same draft, section 3.6.1). */
export const SIGN_FLAGS = { rsaSha256: 2, rsaSha512: 4 } as const;

/** OpenSSH's agent takes no longer message either. */
const MAX_MESSAGE_BYTES = 256 * 1024;
const ANSWER_LIMIT_MS = 10_000;

/** A key that an agent lists. */
export interface AgentKey {
  readonly blob: Buffer;
  readonly comment: string;
}

/** Returns the bytes as a `string` of SSH: a length in four bytes, then the bytes. */
export function sshString(value: Buffer | string): Buffer {
  const bytes = Buffer.from(value);
  return Buffer.concat([uint32(bytes.length), bytes]);
}

/** Returns the number in four bytes, highest first. */
function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

/** Reads the fields of a message one after the other. Throws RangeError past its end. */
export class FieldReader {
  #rest: Buffer;

  constructor(bytes: Buffer) {
    this.#rest = bytes;
  }

  number(): number {
    const value = this.#rest.readUInt32BE(0);
    this.#rest = this.#rest.subarray(4);
    return value;
  }

  string(): Buffer {
    const length = this.number();
    if (length > this.#rest.length) throw new RangeError('a field is longer than its message');
    const value = this.#rest.subarray(0, length);
    this.#rest = this.#rest.subarray(length);
    return value;
  }
}

/** Cuts a byte stream into messages; what it returns has no length in front. Throws RangeError for one that is too long. */
export class MessageSplitter {
  #pending: Buffer = Buffer.alloc(0);

  push(chunk: Buffer): Buffer[] {
    this.#pending = Buffer.concat([this.#pending, chunk]);
    const messages: Buffer[] = [];
    while (this.#pending.length >= 4) {
      const length = this.#pending.readUInt32BE(0);
      if (length > MAX_MESSAGE_BYTES) throw new RangeError('a message of the agent protocol is too long');
      if (this.#pending.length < 4 + length) break;
      messages.push(this.#pending.subarray(4, 4 + length));
      this.#pending = this.#pending.subarray(4 + length);
    }
    return messages;
  }
}

/** Parses an agent's list of keys; undefined when the answer is none, as that of a locked agent. */
export function parseKeys(answer: Buffer): AgentKey[] | undefined {
  if (answer[0] !== AGENT.keys) return undefined;
  const fields = new FieldReader(answer.subarray(1));
  return Array.from({ length: fields.number() }, () => ({
    blob: fields.string(),
    comment: fields.string().toString(),
  }));
}

/** Returns the list of keys as an agent answers it. */
export function keysAnswer(keys: readonly AgentKey[]): Buffer {
  const fields = keys.flatMap(({ blob, comment }) => [sshString(blob), sshString(comment)]);
  return Buffer.concat([Buffer.from([AGENT.keys]), uint32(keys.length), ...fields]);
}

/** Returns the request to sign `data` with the key; `flags` are {@link SIGN_FLAGS}. */
export function signRequest(blob: Buffer, data: Buffer, flags: number): Buffer {
  return Buffer.concat([Buffer.from([AGENT.sign]), sshString(blob), sshString(data), uint32(flags)]);
}

/** A connection to a running agent; requests are answered in turn. It opens with the first request. */
export class AgentConnection {
  readonly #path: string;
  #socket: Socket | undefined;
  #waiting: { resolve: (answer: Buffer) => void; reject: (error: Error) => void }[] = [];

  constructor(socketPath: string) {
    this.#path = socketPath;
  }

  /** Sends a message and returns the answer. Rejects when the agent is gone or silent for 10 s. */
  ask(message: Buffer): Promise<Buffer> {
    this.#socket ??= this.#open();
    const socket = this.#socket;
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
      socket.setTimeout(ANSWER_LIMIT_MS);
      socket.write(sshString(message));
    });
  }

  close(): void {
    this.#socket?.destroy();
  }

  #open(): Socket {
    const splitter = new MessageSplitter();
    const socket = connect(this.#path);
    socket.on('data', (chunk) => {
      try {
        for (const answer of splitter.push(chunk)) this.#waiting.shift()?.resolve(answer);
        if (this.#waiting.length === 0) socket.setTimeout(0);
      } catch (error) {
        socket.destroy(error as Error);
      }
    });
    socket.on('timeout', () => socket.destroy(new Error('the agent does not answer')));
    let reason = new Error('the agent closed the connection');
    socket.on('error', (error) => {
      reason = error;
    });
    socket.on('close', () => {
      for (const { reject } of this.#waiting.splice(0)) reject(reason);
      this.#socket = undefined;
    });
    return socket;
  }
}
