import type { Command } from '../../lib/command/command';
import { quote } from '../../lib/command/quote';
import { DriverError } from '../../lib/errors';
import type { Files, Host, RunOptions } from '../../lib/host/host';
import type { Hosts } from '../../lib/host/hosts';
import type { HostName, UserName } from '../../lib/opennebula/ids';
import type { MachineShell } from '../helpers/machine-shell';
import type { ZfsMachine } from '../helpers/zfs-machine';

/**
 * The machines of an engine, but what ends by itself runs on the backup server without a supervisor, in one shell, and
 * transfers go over a login that is there already: on the emulated machine those cost more than most programs.
 */
export function plainHosts(real: Hosts, machine: ZfsMachine): Hosts {
  const known = new Map<string, Host>();
  return {
    local: real.local,
    async at(name: HostName, user?: UserName): Promise<Host> {
      const host = await real.at(name, user);
      const plain =
        known.get(name) ?? (name === 'server' ? new PlainHost(host, machine) : sending(host, machine.controlPath));
      known.set(name, plain);
      return plain;
    },
    close: () => real.close(),
  };
}

function sending(host: Host, controlPath: string): Host {
  const known = (word: string): string => word.replace('ControlPath=none', `ControlPath=${controlPath}`);
  return {
    ...{ name: host.name, files: host.files },
    run: (command, options) =>
      host.run({ ...command, argv: command.argv.map(known) as [string, ...string[]] }, options),
    programs: (names) => host.programs(names),
    mention: (command, condition) => host.mention(command, condition),
  };
}

class PlainHost implements Host {
  readonly name: string;
  readonly files: Files;
  readonly #host: Host;
  readonly #shell: MachineShell;
  #programs: Promise<ReadonlySet<string>> | undefined;

  constructor(host: Host, machine: ZfsMachine) {
    this.name = host.name;
    this.files = host.files;
    this.#host = host;
    this.#shell = machine.shell('oneadmin');
  }

  async run<T>(command: Command<T>, options: RunOptions = {}): Promise<T> {
    if (options.until !== undefined) return this.#host.run(command, options);
    const env = Object.entries(command.env ?? {}).map(([name, value]) => `${name}=${quote([value])} `);
    const said = await this.#shell.run(`${env.join('')}${quote(command.argv)}`);
    const outcome = { exitCode: said.code ?? 255, stdout: said.stdout, stderr: said.stderr };
    if (outcome.exitCode === 0 || command.accept?.includes(outcome.exitCode)) return command.parse(outcome);
    throw (
      command.classify?.(outcome, this.name) ?? new DriverError('failed', `cannot ${command.purpose}: ${said.stderr}`)
    );
  }

  /** They do not change meanwhile. */
  programs(names: readonly string[]): Promise<ReadonlySet<string>> {
    this.#programs ??= this.#host.programs(names);
    return this.#programs;
  }

  mention(): void {}
}
