import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { RealHosts } from '../../lib/host/hosts';
import { parseBackupUrl } from '../../lib/opennebula/backup-url';
import { type DatastoreId, type HostName, parseAbsolutePath } from '../../lib/opennebula/ids';
import type { Bed } from './bed';
import { type MemoryContext, MemoryEngine, MemoryStore } from './memory-engine';

const DATASTORE = 100 as DatastoreId;

/** A bed of the memory engine, or of one that was made from it. */
export async function memoryBed(Engine: new (context: MemoryContext) => MemoryEngine = MemoryEngine): Promise<Bed> {
  const folder = mkdtempSync(join(tmpdir(), 'one-backup-bed-'));
  const make = (store: MemoryStore, close: () => void): Bed => ({
    datastoreId: DATASTORE,
    pointsStandAlone: false,
    host: 'here' as HostName,
    staging(vmId) {
      const parent = join(folder, String(vmId));
      mkdirSync(parent, { recursive: true });
      return parseAbsolutePath(join(parent, 'backup'), 'the staging folder');
    },
    open({ signal = new AbortController().signal, onStep = () => {} } = {}) {
      const supervision = { stallSeconds: 0, marker: undefined };
      const { local: host } = new RealHosts({ env: process.env, signal, supervision, trace: () => {} });
      return new Engine({ store, host, datastoreId: DATASTORE, signal, onStep });
    },
    parseUrl: (url) => parseBackupUrl(url, 'memory'),
    stored: () => [...store.backups.keys()].sort(),
    leftovers: () => [],
    copy: async () => make(store.copy(), () => {}),
    close: async () => close(),
  });
  return make(new MemoryStore(), () => rmSync(folder, { recursive: true, force: true }));
}
