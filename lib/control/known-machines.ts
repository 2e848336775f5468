import { firstOf } from '../abort';
import { asDriverError } from '../errors';
import { Attributes } from '../opennebula/attributes';
import { OnedClient } from '../opennebula/client';
import type { Element } from '../opennebula/document';
import {
  type AbsolutePath,
  type HostName,
  joinPath,
  parseAbsolutePath,
  parseHostName,
  parseHostNames,
} from '../opennebula/ids';
import type { OpenedDatastore } from './open-datastore';
import type { ControlContext, Option } from './subcommand';

/** An oned that does not answer must not keep anybody from the rest, in milliseconds. */
const ANSWER_LIMIT_MS = 10_000;
/** A host that its admin has switched off (STATE of a host: OFFLINE). */
const OFFLINE = '8';
/** A datastore of running VMs (TYPE of a datastore: SYSTEM). */
const SYSTEM = '1';

/** The attribute that names hosts. */
export const BRIDGES = 'BRIDGE_LIST';

/** The option that names hosts. */
export const HOST_OPTION: Option = {
  name: 'host',
  value: 'HOST',
  many: true,
  describe: 'Examine this host',
};

/** The hosts that carry backups, and where they hold their staging folders. */
export interface KnownMachines {
  readonly hosts: readonly HostName[];
  readonly stagingFolders: readonly AbsolutePath[];
  /** Why oned could not be asked. */
  readonly why?: string;
}

/** The hosts that the call names, else those that oned knows; with them those that the datastore names for transfers. */
export async function knownMachines(
  { datastore }: Pick<OpenedDatastore, 'datastore'>,
  { frontEnd, line, signal }: Pick<ControlContext, 'frontEnd' | 'line' | 'signal'>,
): Promise<KnownMachines> {
  const named = namedHosts(line);
  const bridges = named.length > 0 ? [] : bridgesOf(datastore);
  const limit = AbortSignal.timeout(ANSWER_LIMIT_MS);
  const standard = await stagingFolders(frontEnd);
  const all = (hosts: readonly HostName[]): HostName[] => [...new Set([...hosts, ...bridges])];
  try {
    const client = new OnedClient(await frontEnd.endpoint(), await frontEnd.session(), firstOf(signal, limit));
    const [hosts, datastores] = await Promise.all([client.hosts(), client.datastores()]);
    const known = hosts
      .filter((host) => host.optionalTextOf('STATE') !== OFFLINE)
      .map((host) => parseHostName(host.textOf('NAME'), 'a host', 'oned'));
    const own = (await frontEnd.backupBasePath()) === undefined ? systemFolders(datastores) : [];
    return { hosts: all(named.length > 0 ? named : known), stagingFolders: own.length > 0 ? own : standard };
  } catch (error) {
    signal.throwIfAborted();
    const why = limit.aborted ? `oned did not answer in ${ANSWER_LIMIT_MS / 1000} s` : asDriverError(error).what;
    return { hosts: all(named), stagingFolders: standard, why };
  }
}

/** Where staging folders are, as far as the front-end itself knows it. */
export async function stagingFolders(frontEnd: ControlContext['frontEnd']): Promise<AbsolutePath[]> {
  return [(await frontEnd.backupBasePath()) ?? joinPath(frontEnd.varDir, 'datastores')];
}

/** The hosts that the call itself names. Throws `usage`. */
export function namedHosts(line: ControlContext['line']): HostName[] {
  return line.texts('host').map((name) => parseHostName(name, '--host', 'usage'));
}

/** None if nobody can read them: that has a link of its own (template-link.ts). */
function bridgesOf(datastore: OpenedDatastore['datastore']): readonly HostName[] {
  try {
    return new Attributes(datastore).optional(BRIDGES, parseHostNames) ?? [];
  } catch {
    return [];
  }
}

function systemFolders(datastores: readonly Element[]): AbsolutePath[] {
  const folders = datastores
    .filter((one) => one.optionalTextOf('TYPE') === SYSTEM)
    .map((one) => parseAbsolutePath(one.textOf('BASE_PATH'), 'BASE_PATH of a system datastore', 'oned'));
  return [...new Set(folders)];
}
