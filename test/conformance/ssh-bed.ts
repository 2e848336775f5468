import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { PROGRAMS_VARIABLE } from '../../lib/command/supervise';
import type { Driver } from '../../lib/engine/engine';
import { RealHosts } from '../../lib/host/hosts';
import type { HostSettings } from '../../lib/host/local';
import { parseDatastore } from '../../lib/opennebula/datastore';
import { Element } from '../../lib/opennebula/document';
import { type DatastoreId, type HostName, parseAbsolutePath } from '../../lib/opennebula/ids';
import { startSshWorld } from '../helpers/sshd';
import type { Bed } from './bed';

/** What is an engine's own of a bed that is made of a host and a backup server behind sshd. */
export interface SshBedOptions {
  readonly driver: Driver;
  /** The attributes of the datastore; `user` is the login on the server, `temporary` a folder for RESTIC_TMP_DIR and the like. */
  readonly attributes: (world: {
    readonly user: string;
    readonly temporary: string;
  }) => Readonly<Record<string, string>>;
  /** Programs that come before those of the machine, everywhere: links by their name. */
  readonly programs?: Readonly<Record<string, string>>;
  /** The names of all backups below the datastore's folder. */
  readonly stored: (datastore: string) => string[];
  /** What must not stay below the datastore's folder. */
  readonly leftovers: (datastore: string) => string[];
  /** Makes a copy of a datastore cheaper to test on. */
  readonly easeCopy?: (datastore: string) => void;
}

const DATASTORE = 100;

/** Starts the world and returns an empty bed. */
export async function sshBed(options: SshBedOptions): Promise<Bed> {
  const folder = mkdtempSync(join(tmpdir(), 'one-backup-bed-'));
  const world = await startSshWorld({ names: ['host1', 'server'] });
  for (const [name, program] of Object.entries(options.programs ?? {})) {
    for (const bin of [world.bin, join(world.folder, 'host-bin')]) symlinkSync(program, join(bin, name));
  }
  const temporary = join(folder, 'tmp');
  mkdirSync(temporary);
  const env = { ...world.env, XDG_CACHE_HOME: join(folder, 'cache'), [PROGRAMS_VARIABLE]: join(folder, 'no-programs') };
  const attributes = Object.entries(options.attributes({ user: userInfo().username, temporary }))
    .map(([name, value]) => `<${name}><![CDATA[${value}]]></${name}>`)
    .join('');
  let copies = 0;

  const make = (datastore: string, close: () => void): Bed => {
    const xml = `<DATASTORE><ID>${DATASTORE}</ID><DS_MAD>${options.driver.name}</DS_MAD><BASE_PATH>${datastore}</BASE_PATH><TEMPLATE>${attributes}</TEMPLATE></DATASTORE>`;
    const open = new Set<RealHosts>();
    return {
      datastoreId: DATASTORE as DatastoreId,
      host: 'host1' as HostName,
      staging(vmId) {
        const parent = join(folder, 'host1', 'datastores', '102', String(vmId));
        mkdirSync(parent, { recursive: true });
        return parseAbsolutePath(join(parent, 'backup'), 'the staging folder');
      },
      open({ signal = new AbortController().signal, onStep = () => {} } = {}) {
        const supervision = { stallSeconds: 600, marker: undefined };
        const trace: HostSettings['trace'] = (host, { purpose }) => onStep(`${host}: ${purpose}`);
        const hosts = new RealHosts({ env, signal, supervision, trace });
        open.add(hosts);
        const parsed = parseDatastore(Element.parse(xml, 'the datastore'), options.driver.name);
        return options.driver.open({ datastore: parsed, hosts, signal, progress: () => {}, log: () => {} });
      },
      parseUrl: options.driver.parseUrl,
      stored: () => (existsSync(datastore) ? options.stored(datastore).sort() : []),
      leftovers: () => [...readdirSync(temporary), ...(existsSync(datastore) ? options.leftovers(datastore) : [])],
      async copy() {
        const copy = join(folder, 'server', `copy${++copies}`, String(DATASTORE));
        if (existsSync(datastore)) cpSync(datastore, copy, { recursive: true, preserveTimestamps: true });
        options.easeCopy?.(copy);
        return make(copy, () => rmSync(copy, { recursive: true, force: true }));
      },
      async close() {
        await Promise.all([...open].map((hosts) => hosts.close()));
        close();
      },
    };
  };
  return make(join(folder, 'server', 'blank', String(DATASTORE)), () => {
    world.stop();
    rmSync(folder, { recursive: true, force: true, maxRetries: 3 });
  });
}
