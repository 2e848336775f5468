import type { Client, ConnectConfig } from 'ssh2';
import { loadSsh2 } from '../../lib/host/load-ssh2';
import { resolveSsh } from '../../lib/host/ssh-config';
import { ssh2Config } from '../../lib/host/ssh-connect-config';
import { hastenFirstAnswers } from '../../lib/host/ssh-nudge';
import type { HostName } from '../../lib/opennebula/ids';

/** What a program on a host gave. */
interface Ran {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A connection made as the drivers make theirs. */
export interface TestConnection {
  readonly client: Client;
  run(line: string): Promise<Ran>;
  /** Resolves when the connection is closed. */
  end(): Promise<void>;
}

/** Connects to a name of a world, through all of lib/host. Throws what an action would report. `changes` go over the configuration. */
export async function connectTo(
  name: string,
  env: NodeJS.ProcessEnv,
  signal: AbortSignal = new AbortController().signal,
  changes: Partial<ConnectConfig> = {},
): Promise<TestConnection> {
  const target = await resolveSsh(name as HostName, undefined, env, signal);
  const { config, explain } = await ssh2Config(target, env, signal);
  const client = new (await loadSsh2()).Client();
  hastenFirstAnswers(client);
  await new Promise<void>((resolve, reject) => {
    client.once('ready', resolve);
    client.on('error', (error) => reject(explain(error)));
    client.once('close', () => reject(explain(new Error('Connection lost before handshake'))));
    client.connect({ ...config, ...changes });
  });
  const end = (): Promise<void> =>
    new Promise((resolve) => {
      config.sock.once('close', () => resolve());
      client.end();
    });
  return { client, end, run: (line) => exec(client, line) };
}

function exec(client: Client, line: string): Promise<Ran> {
  return new Promise((resolve, reject) => {
    client.exec(line, (error, channel) => {
      if (error !== undefined) return reject(error);
      let stdout = '';
      let stderr = '';
      channel.on('data', (chunk: Buffer) => {
        stdout += chunk;
      });
      channel.stderr.on('data', (chunk: Buffer) => {
        stderr += chunk;
      });
      let code: number | null = null;
      channel.on('exit', (exitCode: number | null) => {
        code = exitCode;
      });
      channel.on('close', () => resolve({ code, stdout, stderr }));
      channel.end();
    });
  });
}
