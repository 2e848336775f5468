import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { Engine } from '../../lib/engine/engine';
import type { Hosts } from '../../lib/host/hosts';
import type { BackupUrl } from '../../lib/opennebula/backup-url';
import type { AbsolutePath, DatastoreId, HostName } from '../../lib/opennebula/ids';

/** How an engine is opened beside what the bed knows itself. */
export interface Opening {
  /** Ends whatever the engine does. */
  readonly signal?: AbortSignal;
  /** Told of each step that the engine takes - a program that starts, a change of what is stored - just before it. */
  readonly onStep?: (what: string) => void;
  /** Attributes of the datastore beside those that the bed gives it, or in their place. */
  readonly attributes?: Readonly<Record<string, string>>;
  /** Puts other machines in the place of the real ones, where the engine has any. */
  readonly hosts?: (real: Hosts) => Hosts;
}

/** What the suite needs of an engine's surroundings: one datastore, the host that backups come from, and a look inside. */
export interface Bed {
  readonly datastoreId: DatastoreId;
  /** The host that holds the staging folders. All hosts share this machine's files. */
  readonly host: HostName;
  /** Every backup restores without those before it, so that a flatten merges nothing. */
  readonly pointsStandAlone: boolean;
  /** The staging folder of a VM; the suite fills and removes it. Its path holds `/<VM_ID>/backup`, as OpenNebula's. */
  staging(vmId: number): AbsolutePath;
  /** Opens the engine as a new process would: nothing is remembered but what is stored. */
  open(opening?: Opening): Engine;
  parseUrl(url: string): BackupUrl;
  /** The names of all backups in the datastore, found without the engine; each begins with its source. */
  stored(): string[];
  /** What no finished action may leave: locks, temporary folders, half-written data. */
  leftovers(): string[];
  /** A datastore of its own with the same content and the same staging folders. */
  copy(): Promise<Bed>;
  /** Removes the datastore; for the first bed, with all that it was made of. */
  close(): Promise<void>;
}

/** Makes an empty bed. */
export type MakeBed = () => Promise<Bed>;

/** The bytes of the files of a folder. */
export function folderBytes(folder: string): number {
  return readdirSync(folder).reduce((sum, name) => sum + statSync(join(folder, name)).size, 0);
}
