import { Duplex } from 'node:stream';
import {
  AGENT,
  type AgentConnection,
  FieldReader,
  keysAnswer,
  MessageSplitter,
  parseKeys,
  sshString,
} from './ssh-agent-protocol';
import type { PrivateKey } from './ssh-identities';

/** Answers messages of the agent protocol: for its own keys itself, for all else by the running agent. */
export class AgentAnswerer {
  readonly #running: AgentConnection | undefined;
  readonly #own: readonly PrivateKey[];

  constructor(running: AgentConnection | undefined, own: readonly PrivateKey[]) {
    this.#running = running;
    this.#own = own;
  }

  async answer(message: Buffer): Promise<Buffer> {
    if (message[0] === AGENT.listKeys) {
      const held = this.#running === undefined ? [] : (parseKeys(await this.#running.ask(message)) ?? []);
      return keysAnswer([...held, ...this.#own.map(({ blob }) => ({ blob, comment: 'held by the backup driver' }))]);
    }
    if (message[0] === AGENT.sign) {
      const fields = new FieldReader(message.subarray(1));
      const [blob, data, flags] = [fields.string(), fields.string(), fields.number()];
      const key = this.#own.find((one) => one.blob.equals(blob));
      if (key !== undefined) return Buffer.concat([Buffer.from([AGENT.signature]), sshString(key.sign(data, flags))]);
    }
    return this.#running?.ask(message) ?? Buffer.from([AGENT.failure]);
  }

  close(): void {
    this.#running?.close();
  }
}

/**
 * One connection of a forwarded agent: requests in, answers out, in the same order.
 * It never fails, because ssh2 listens for no error here: a message that is none ends it.
 */
export class AgentStream extends Duplex {
  readonly #answerer: AgentAnswerer;
  readonly #splitter = new MessageSplitter();
  #over = false;

  constructor(answerer: AgentAnswerer) {
    super({ allowHalfOpen: false });
    this.#answerer = answerer;
  }

  override _read(): void {}

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    this.#answer(chunk)
      .catch(() => this.#end())
      .then(done);
  }

  override _final(done: () => void): void {
    this.#end();
    done();
  }

  override _destroy(_error: Error | null, done: (error: Error | null) => void): void {
    this.#answerer.close();
    done(null);
  }

  async #answer(chunk: Buffer): Promise<void> {
    for (const message of this.#over ? [] : this.#splitter.push(chunk)) {
      const answer = await this.#answerer.answer(message).catch(() => Buffer.from([AGENT.failure]));
      if (!this.#over) this.push(sshString(answer));
    }
  }

  #end(): void {
    if (!this.#over) this.push(null);
    this.#over = true;
  }
}
