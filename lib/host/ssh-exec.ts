import type { Client, ClientChannel, ExecOptions } from 'ssh2';

/** ssh2 reads `agentForward` here (its lib/client.js, exec); its types do not say so. */
type Options = ExecOptions & { readonly agentForward: boolean };

/**
 * Starts a program, with the agent forwarded or without. Where sshd forbids forwarding (AllowAgentForwarding no), it starts without it, as ssh(1) does.
 * The connection must be made with `agentForward: false`: with `true`, ssh2 fails every program on such a host.
 * Rejects with ssh2's error when the channel or the program is refused, or the connection is lost.
 */
export async function startProgram(client: Client, line: string, withAgent: boolean): Promise<ClientChannel> {
  const start = (agentForward: boolean): Promise<ClientChannel> =>
    new Promise((resolve, reject) => {
      const options: Options = { agentForward };
      client.exec(line, options, (error, channel) => (error ? reject(error) : resolve(channel)));
    });
  try {
    return await start(withAgent);
  } catch (error) {
    if (withAgent && error instanceof Error && error.message === 'Unable to request agent forwarding')
      return start(false);
    throw error;
  }
}
