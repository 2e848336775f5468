import type { Engine } from '../engine/engine';
import { type Check, type Examination, fine, type Link, type Role } from '../engine/examination';
import { folderLink } from '../engine/examined-folder';
import { asDriverError, DriverError, type Mend } from '../errors';
import { addressOf } from '../host/name-lookup';
import { sshLogin } from '../host/ssh-agent';
import { resolveSsh, type SshTarget } from '../host/ssh-config';
import { type AbsolutePath, type HostName, joinPath, type UserName } from '../opennebula/ids';
import { type ExaminedMachine, examineLinks, forEachOf, notExamined } from './examine-links';
import { frontEndLinks, PROGRAMS } from './front-end-links';
import { type KnownMachines, knownMachines } from './known-machines';
import { programsLink, remoteLinks } from './machine-links';
import type { OpenedDatastore } from './open-datastore';
import { serverLink } from './server-way';
import { stateLinks } from './state-links';
import type { ControlContext } from './subcommand';
import { templateLink } from './template-link';

/** Each is a connection, and some programs. */
const MACHINES_AT_A_TIME = 16;

/** Which one it is, and the login there, is what the attributes say. */
const UNKNOWN_SERVER: Link = {
  what: 'server',
  after: ['template'],
  examine: async () => [notExamined('nobody can read which one it is')],
};

/** A datastore that is examined, and by what. */
interface Subject {
  readonly opened: OpenedDatastore;
  readonly context: ControlContext;
  /** Or why the driver does not open the datastore. */
  readonly engine: Engine | DriverError;
  readonly examination: Examination | undefined;
  readonly machines: KnownMachines;
}

/**
 * Looks at every link that a backup of this datastore needs: the front-end, the backup server and the hosts, all at once.
 * `machines`: the hosts; oned is asked for them otherwise.
 */
export async function examineDatastore(
  opened: OpenedDatastore,
  context: ControlContext,
  machines?: KnownMachines,
): Promise<ExaminedMachine[]> {
  const { signal } = context;
  const engine = engineOf(opened, context);
  const known = machines ?? (await knownMachines(opened, context));
  const subject: Subject =
    engine instanceof DriverError
      ? {
          opened: { ...opened, hosts: opened.hostsWithoutLimits },
          context,
          engine,
          examination: undefined,
          machines: known,
        }
      : { opened, context, engine, examination: engine.examination?.(), machines: known };
  const asked = machines === undefined ? [hostsLink(known)] : [];
  const { server } = subject.examination ?? {};
  const places: { name: string; role: Role; links: () => Promise<readonly Link[]> }[] = [
    { name: 'front-end', role: 'front-end', links: async () => [...linksHere(subject), ...asked] },
    ...(server === undefined
      ? []
      : [
          {
            name: server.server,
            role: 'server' as const,
            links: () => linksOfServer(server.server, server.user, subject),
          },
        ]),
    ...known.hosts.map((name) => ({ name, role: 'host' as const, links: () => linksOfHost(name, subject) })),
  ];
  return forEachOf(places, MACHINES_AT_A_TIME, async ({ name, role, links }) => {
    const all = await links().catch((error: unknown): Link[] => [
      { what: 'ssh', examine: () => Promise.reject(error) },
    ]);
    return { name, role, links: await examineLinks(all, signal) };
  });
}

/** What a wrong attribute keeps from being opened is one broken link: there are others, which need no attributes. */
function engineOf({ datastore, driver, hosts }: OpenedDatastore, { screen, signal }: ControlContext) {
  const log = (text: string): void => screen.debug(text); // what is of interest has a link of its own
  try {
    return driver.open({ datastore, hosts: hosts(), signal, progress: () => {}, log });
  } catch (error) {
    return asDriverError(error);
  }
}

function linksHere({ opened, context, engine, examination }: Subject): Link[] {
  const { local } = opened.hosts();
  const programs = examination?.programs('front-end') ?? [];
  const unreadable = engine instanceof DriverError ? engine : undefined;
  return [
    ...frontEndLinks(opened, context, local, programs),
    templateLink(opened, unreadable),
    ...(unreadable === undefined ? [] : [UNKNOWN_SERVER]),
    ...(examination?.links('front-end', local) ?? []),
  ];
}

async function linksOfServer(name: HostName, user: UserName, subject: Subject): Promise<Link[]> {
  const { examination, opened, context, engine } = subject;
  const host = await opened.hosts().at(name, user);
  const target = await resolveSsh(name, user, context.env, context.signal);
  const programs = examination?.programs('server') ?? [];
  return [
    ...remoteLinks({ role: 'server', host, target, needsShell: examination?.needsShell ?? false }),
    programsLink({ host, on: name, programs }, ['ssh']),
    ...afterLogin(examination?.links('server', host) ?? []),
    ...(engine instanceof DriverError ? [] : afterLogin(stateLinks({ opened, context, engine }))),
  ];
}

async function linksOfHost(name: HostName, subject: Subject): Promise<Link[]> {
  const { examination, opened, context, machines } = subject;
  const { env, signal } = context;
  const host = await opened.hosts().at(name);
  const target = await resolveSsh(name, undefined, env, signal);
  const programs = [...PROGRAMS.host, ...(examination?.programs('host') ?? [])];
  const broughtBy = (program: string): Promise<Mend | undefined> => fromFrontEnd(program, subject);
  const folders = machines.stagingFolders.map((path) => {
    const what = machines.stagingFolders.length === 1 ? 'staging' : `staging ${nameOf(path)}`;
    return folderLink(host, { what, path, user: target.user, on: name });
  });
  const server = examination?.server;
  const ofServer =
    <T>(ask: (target: SshTarget) => Promise<T>) =>
    async (): Promise<T | undefined> => {
      if (server === undefined) return undefined;
      return ask(await resolveSsh(server.server, server.user, env, signal)).catch(() => undefined);
    };
  const serverAddress = ofServer(addressOf);
  const keyFile = ofServer(async ({ auth }) => (await sshLogin(auth)).files[0]);
  return [
    ...remoteLinks({ role: 'host', host, target, needsShell: true }),
    programsLink({ host, on: name, programs, broughtBy }, ['ssh']),
    ...afterLogin(folders),
    ...(server === undefined ? [] : [serverLink({ host, login: server, serverAddress, keyFile })]),
    ...afterLogin(examination?.links('host', host) ?? []),
  ];
}

/** OpenNebula brings to the hosts what lies in the driver's folder of the front-end. */
async function fromFrontEnd(program: string, { opened, context }: Subject): Promise<Mend | undefined> {
  const folder = joinPath(context.frontEnd.varDir, 'remotes', 'datastore', opened.driver.name);
  const held = await opened
    .hosts()
    .local.files.list(folder, [])
    .catch(() => []);
  if (!held.some(({ name, type }) => name === program && type === 'file')) return undefined;
  return { commands: [{ command: 'onehost sync --force' }] };
}

/** oned, and the hosts that it knows. */
function hostsLink({ hosts, why }: KnownMachines): Link {
  const examine = async (): Promise<[Check]> => {
    if (why !== undefined) {
      const hint = hosts.length === 0 ? 'No host was examined; name them: --host HOST' : undefined;
      return [{ state: 'warning', says: why, hint }];
    }
    if (hosts.length === 0)
      return [{ state: 'warning', says: 'oned answers, and knows no host', hint: 'Add one: onehost create' }];
    return [fine(`answers; examined: ${hosts.length === 1 ? 'one host' : `${hosts.length} hosts`}`)];
  };
  return { what: 'oned', examine };
}

function afterLogin(links: readonly Link[]): Link[] {
  return links.map((link) => ({ ...link, after: ['ssh', ...(link.after ?? [])] }));
}

function nameOf(path: AbsolutePath): string {
  return path.slice(path.lastIndexOf('/') + 1);
}
