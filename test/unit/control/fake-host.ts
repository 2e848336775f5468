import type { Command } from '../../../lib/command/command';
import type { Check, Link } from '../../../lib/engine/examination';
import { DriverError } from '../../../lib/errors';
import type { Host } from '../../../lib/host/host';
import { parseHostName } from '../../../lib/opennebula/ids';

const name = parseHostName('host1', 'a host');

/** A host that has these programs, and says what is told of them, by their first words. */
export function host(
  programs: readonly string[],
  says: Readonly<Record<string, [exitCode: number, stdout: string, stderr?: string]>>,
): Host {
  const run = async <T>(command: Command<T>): Promise<T> => {
    const line = command.argv.join(' ');
    const found = Object.entries(says).find(([words]) => line.includes(words))?.[1];
    if (found === undefined) throw new DriverError('failed', `nobody expected: ${line}`);
    const [exitCode, stdout, stderr = ''] = found;
    return command.parse({ exitCode, stdout, stderr });
  };
  return {
    name,
    run,
    programs: async (names: string[]) => new Set(names.filter((one) => programs.includes(one))),
  } as unknown as Host;
}

/** What the first check of a link says. */
export async function only(link: Link | undefined): Promise<Check> {
  const [check] = (await link?.examine()) ?? [];
  return check ?? { state: 'failure', says: 'there is no such link' };
}
