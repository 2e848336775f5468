import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { PROGRAMS_VARIABLE } from '../../lib/command/supervise';
import type { Driver } from '../../lib/engine/engine';
import { type Hosts, RealHosts } from '../../lib/host/hosts';
import type { HostSettings } from '../../lib/host/local';
import { parseDatastore } from '../../lib/opennebula/datastore';
import { Element } from '../../lib/opennebula/document';
import { type DatastoreId, type HostName, parseAbsolutePath } from '../../lib/opennebula/ids';
import { startSshWorld } from '../helpers/sshd';
import type { WorldOptions } from '../helpers/sshd-process';
import type { Bed } from './bed';

/** Where the backups of a bed are, in the words of the engine: a folder, or a dataset. */
export interface Storage {
  /** The place of the empty datastore. */
  readonly first: string;
  /** Makes a place with the same content. */
  readonly copy: (from: string) => Promise<string>;
  readonly remove: (place: string) => void;
  /** The names of all backups in it. */
  readonly stored: (place: string) => string[];
  /** What must not stay in it. */
  readonly leftovers: (place: string) => string[];
}

/** What is an engine's own of a bed that is made of a host and a backup server behind sshd. */
export interface SshBedOptions {
  readonly driver: Driver;
  /** The attributes of the datastore; `user` is the login on the server, `temporary` a folder for RESTIC_TMP_DIR and the like. */
  readonly attributes: (world: {
    readonly user: string;
    readonly temporary: string;
    readonly place: string;
  }) => Readonly<Record<string, string>>;
  /** Programs that come before those of the machine, everywhere: links by their name. */
  readonly programs?: Readonly<Record<string, string>>;
  /** Where the backups are; `folder` is that of the bed. */
  readonly storage: (folder: string) => Storage;
  /** Machines that run already, and what they get to know of the world: its public key. */
  readonly elsewhere?: WorldOptions['elsewhere'];
  readonly introduce?: (publicKey: string) => Promise<void>;
  /** Called when the bed is closed. */
  readonly close?: () => Promise<void>;
  readonly pointsStandAlone?: boolean;
}

const DATASTORE = 100;

/** Starts the world and returns an empty bed. */
export async function sshBed(options: SshBedOptions): Promise<Bed> {
  const folder = mkdtempSync(join(tmpdir(), 'one-backup-bed-'));
  const { elsewhere } = options;
  const world = await startSshWorld(elsewhere ? { names: ['host1'], elsewhere } : { names: ['host1', 'server'] });
  await options.introduce?.(readFileSync(`${world.key}.pub`, 'utf8'));
  for (const [name, program] of Object.entries(options.programs ?? {})) {
    for (const bin of [world.bin, join(world.folder, 'host-bin')]) symlinkSync(program, join(bin, name));
  }
  const temporary = join(folder, 'tmp');
  mkdirSync(temporary);
  const env = { ...world.env, XDG_CACHE_HOME: join(folder, 'cache'), [PROGRAMS_VARIABLE]: join(folder, 'no-programs') };
  const storage = options.storage(folder);

  const make = (place: string, close: () => Promise<void> | void): Bed => {
    const own = options.attributes({ user: userInfo().username, temporary, place });
    const basePath = place.startsWith('/') ? place : `/${place}`;
    const xmlOf = (more: Readonly<Record<string, string>>): string => {
      const template = Object.entries({ ...own, ...more }).map(
        ([name, value]) => `<${name}><![CDATA[${value}]]></${name}>`,
      );
      return `<DATASTORE><ID>${DATASTORE}</ID><DS_MAD>${options.driver.name}</DS_MAD><BASE_PATH>${basePath}</BASE_PATH><TEMPLATE>${template.join('')}</TEMPLATE></DATASTORE>`;
    };
    const open = new Set<RealHosts>();
    return {
      datastoreId: DATASTORE as DatastoreId,
      host: 'host1' as HostName,
      pointsStandAlone: options.pointsStandAlone ?? false,
      staging(vmId) {
        const parent = join(folder, 'host1', 'datastores', '102', String(vmId));
        mkdirSync(parent, { recursive: true });
        return parseAbsolutePath(join(parent, 'backup'), 'the staging folder');
      },
      open({
        signal = new AbortController().signal,
        onStep = () => {},
        attributes = {},
        hosts: through = asTheyAre,
      } = {}) {
        const supervision = { stallSeconds: 600, marker: undefined };
        const trace: HostSettings['trace'] = (host, { purpose }) => onStep(`${host}: ${purpose}`);
        const real = new RealHosts({ env, signal, supervision, trace });
        open.add(real);
        const hosts = through(real);
        const parsed = parseDatastore(Element.parse(xmlOf(attributes), 'the datastore'), options.driver.name);
        return options.driver.open({ datastore: parsed, hosts, signal, progress: () => {}, log: () => {} });
      },
      parseUrl: options.driver.parseUrl,
      stored: () => storage.stored(place).sort(),
      leftovers: () => [...readdirSync(temporary), ...storage.leftovers(place)],
      async copy() {
        const copy = await storage.copy(place);
        return make(copy, () => storage.remove(copy));
      },
      async close() {
        await Promise.all([...open].map((hosts) => hosts.close()));
        await close();
      },
    };
  };
  return make(storage.first, async () => {
    world.stop();
    rmSync(folder, { recursive: true, force: true, maxRetries: 3 });
    await options.close?.();
  });
}

const asTheyAre = (real: Hosts): Hosts => real;

/** Folders of this machine, which is the backup server; `ease` makes a copy cheaper to test on. */
export function inFolders(
  { stored, leftovers }: Pick<Storage, 'stored' | 'leftovers'>,
  ease: (place: string) => void = () => {},
): (folder: string) => Storage {
  const ifThere = (list: (place: string) => string[]) => (place: string) => (existsSync(place) ? list(place) : []);
  return (folder) => {
    let copies = 0;
    return {
      first: join(folder, 'server', 'blank', String(DATASTORE)),
      async copy(from) {
        const to = join(folder, 'server', `copy${++copies}`, String(DATASTORE));
        if (existsSync(from)) cpSync(from, to, { recursive: true, preserveTimestamps: true });
        ease(to);
        return to;
      },
      remove: (place) => rmSync(place, { recursive: true, force: true }),
      stored: ifThere(stored),
      leftovers: ifThere(leftovers),
    };
  };
}
