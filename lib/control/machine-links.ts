import { askTime, askVersion } from '../command/machine-facts';
import { quote } from '../command/quote';
import { type Check, fine, type Link, type Program, type Role } from '../engine/examination';
import type { Mend } from '../errors';
import type { Host } from '../host/host';
import { addressOf } from '../host/name-lookup';
import type { SshTarget } from '../host/ssh-config';
import { notExamined } from './examine-links';

/** How far clocks may differ, in seconds: what is more shows in the times of backups; and what is much more, in locks. */
const CLOCK_TOLERANCE_SECONDS = 5;
const CLOCK_LIMIT_SECONDS = 300;

/** A machine that is reached by SSH. */
export interface RemoteMachine {
  readonly role: Exclude<Role, 'front-end'>;
  readonly host: Host;
  readonly target: SshTarget;
  /** Its login must give a shell. */
  readonly needsShell: boolean;
}

/** What every machine but the front-end needs: a name, a login, and a clock that goes right. */
export function remoteLinks(machine: RemoteMachine): Link[] {
  return [
    { what: 'name', examine: async () => [nameCheck(machine, await addressOf(machine.target))] },
    { what: 'ssh', after: ['name'], examine: async () => [await loginCheck(machine)] },
    { what: 'clock', after: ['ssh'], examine: async () => [await clockCheck(machine)] },
  ];
}

function nameCheck({ target }: RemoteMachine, address: string | undefined): Check {
  if (address === undefined) return fine('looked up by the jump host or ProxyCommand');
  return fine(target.host === address ? address : `${target.host} is ${address}`);
}

async function loginCheck({ host, target: { user, port }, needsShell }: RemoteMachine): Promise<Check> {
  const hasShell = (await host.programs(['sh'])).has('sh');
  const where = `login as ${user}${port === 22 ? '' : `, port ${port}`}`;
  if (hasShell || !needsShell) return fine(hasShell ? where : `${where}, SFTP only`);
  const hint = 'Give that user a POSIX login shell there, and look for ForceCommand in its sshd_config';
  return { state: 'failure', says: `${where}: it gives no shell`, hint };
}

async function clockCheck({ host, target }: RemoteMachine): Promise<Check> {
  if (!(await host.programs(['date'])).has('date')) return notExamined('the login gives no shell');
  const before = Date.now() / 1000;
  const there = await host.run(askTime());
  const after = Date.now() / 1000;
  const ahead = there + 1 < before ? there - before : there > after + 1 ? there - after : 0;
  const off = Math.round(Math.abs(ahead));
  if (off <= CLOCK_TOLERANCE_SECONDS) return fine('goes with that of the front-end');
  const when = 'Where every machine says so, it is the clock of the front-end that goes wrong';
  const set: Mend = { commands: [{ command: 'timedatectl set-ntp true', on: target.host, asRoot: true }], when };
  return {
    state: off > CLOCK_LIMIT_SECONDS ? 'failure' : 'warning',
    says: `${off} s ${ahead < 0 ? 'behind' : 'ahead of'} that of the front-end: times of backups and locks are wrong`,
    hint: when,
    mend: set,
  };
}

/** Where programs are looked for, and how they come there. */
export interface ProgramsPlace {
  readonly host: Host;
  /** The machine in commands; the front-end when it is undefined. */
  readonly on: string | undefined;
  readonly programs: readonly Program[];
  /** How the program comes to the machine, if not as a package. */
  readonly broughtBy?: (program: string) => Promise<Mend | undefined>;
}

/** That the programs are there, and new enough. */
export function programsLink(place: ProgramsPlace, after: readonly string[]): Link {
  return { what: 'programs', after, examine: () => programChecks(place) };
}

async function programChecks(place: ProgramsPlace): Promise<[Check, ...Check[]]> {
  const { host, programs } = place;
  const found = await host.programs(['sh', ...programs.map(({ name }) => name)]);
  if (!found.has('sh')) return [fine('none: the login gives SFTP only')];
  const missing = programs.filter(({ name }) => !found.has(name));
  const needed = missing.filter(({ without }) => without === undefined);
  const versions: string[] = [];
  const old: Check[] = [];
  for (const program of programs.filter(({ name, version }) => version !== undefined && found.has(name))) {
    const { args, least } = program.version as NonNullable<Program['version']>;
    const version = await host.run(askVersion(program.name, args));
    versions.push(`${program.name} ${version.join('.')}`.trim());
    if (version.length > 0 && isOlder(version, least)) {
      const says = `${program.name} ${version.join('.')} is too old: ${least.join('.')} or newer is needed`;
      const mend = await mendOf([program], place);
      const when = 'Where the system has no newer one, put it into /usr/local/bin there';
      old.push({ state: 'failure', says, hint: when, mend: { ...mend, when } });
    }
  }
  const others = found.size - 1 - versions.length;
  const more = versions.length === 0 ? `all ${others}` : `and ${others} more`;
  const all = found.size === 1 ? [] : [fine((others === 0 ? versions : [...versions, more]).join(', '))];
  const checks = [
    ...(needed.length === 0 ? [] : [await missingCheck(needed, place)]),
    ...old,
    ...(await Promise.all(missing.map((one) => optionalCheck(one, place)))).flat(),
  ];
  const [first = fine('none are needed'), ...rest] = needed.length + old.length > 0 ? checks : [...all, ...checks];
  return [first, ...rest];
}

async function missingCheck(needed: readonly Program[], place: ProgramsPlace): Promise<Check> {
  const says = `there is no ${needed.map(({ name }) => name).join(' and no ')}`;
  return { state: 'failure', says, mend: await mendOf(needed, place) };
}

async function optionalCheck(program: Program, place: ProgramsPlace): Promise<Check[]> {
  const { name, without } = program;
  if (without === undefined) return [];
  const says = `there is no ${name}: ${without.says}`;
  return [without.state === 'ok' ? fine(says) : { state: 'warning', says, mend: await mendOf([program], place) }];
}

async function mendOf(programs: readonly Program[], { on, broughtBy }: ProgramsPlace): Promise<Mend> {
  const [only] = programs;
  const own = programs.length === 1 && only !== undefined ? await broughtBy?.(only.name) : undefined;
  if (own !== undefined) return own;
  const packages = [...new Set(programs.map((one) => one.package))];
  const command = quote(['apt-get', 'install', '-y', ...packages]);
  return { commands: [{ command, asRoot: true, ...(on === undefined ? {} : { on }) }] };
}

function isOlder(version: readonly number[], least: readonly number[]): boolean {
  for (const [index, number] of least.entries()) {
    const own = version[index] ?? 0;
    if (own !== number) return own < number;
  }
  return false;
}
