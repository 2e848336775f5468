import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { formatTemplate } from '../../lib/opennebula/template-text';
import { type Known, StockDriver } from '../conformance/stock-driver';
import { StockRsyncDriver } from '../conformance/stock-rsync-driver';
import { builtScripts } from '../conformance/stock-scripts';
import { type Stage, writeStory } from '../conformance/story';
import type { DriverName } from '../helpers/drivers';
import { type Ended, type FrontEndWorld, startFrontEnd } from '../helpers/front-end';
import { quickenKey } from '../helpers/quick-key';

/** Backups of VM 1 (increments 0 to 3, by our drivers), of VM 1 in job 0, and of VM 10 by the stock driver. */
export type BackupsWorld = Awaited<ReturnType<typeof openBackups>>;

/** Starts a front-end whose server holds backups, and the file of the datastore's template. */
export async function openBackups(driver: DriverName, programs?: string) {
  const story = writeStory();
  const w = await startFrontEnd({ driver, ...(programs === undefined ? {} : { programs }) });
  w.serveDatastore();
  const staging = (vmId: number): string => join(w.staging(vmId), 'backup');
  const blank = join(w.folder, 'blank');
  const stockHome = join(w.folder, 'stock');
  if (driver === 'restic') {
    new StockDriver(blank, w.password, stockHome).init();
    quickenKey(blank, w.password);
  }
  mkdirSync(w.datastore, { recursive: true });
  /** Makes the repository of a VM or job, where the driver has one. */
  const repository = (name: string): string => {
    const path = join(w.datastore, name);
    if (driver === 'restic') execFileSync('cp', ['-a', blank, path]);
    return path;
  };
  const ours = builtScripts(w);
  const chain: Known[] = [];
  const extend = async (stage: Stage): Promise<void> => {
    chain.push({ id: stage.incrementId, source: await ours.backUp(stage, 1) });
  };
  repository('1');
  for (const stage of story.chain.slice(0, 4)) await extend(stage);
  repository('job_0');
  const foreign = await ours.backUp(story.foreign, 1, 0);
  const stock = repository('10');
  const stockRsync = new StockRsyncDriver(w.datastore);
  const neighbour = story.neighbour.map(({ folder, incrementId: id }): Known => {
    if (driver === 'rsync') return { id, source: stockRsync.backUp(10, folder) };
    return { id, source: new StockDriver(stock, w.password, stockHome).backUpCopy(10, folder, staging(10)) };
  });
  const file = join(w.folder, 'backups.ds');
  const own = w.traits.attributes({ user: userInfo().username, temporary: w.temporary, password: w.password });
  const attributes = { NAME: 'backups', TYPE: 'BACKUP_DS', DS_MAD: driver, TM_MAD: '-', ...own };
  writeFileSync(file, formatTemplate(Object.entries(attributes)));

  return {
    ...{ w, story, ours, chain, foreign, neighbour, extend, file },
    /** Restic as the admin runs it on the server. */
    stock: (name: string): StockDriver => new StockDriver(join(w.datastore, name), w.password, stockHome),
    /** Where the datastore is, as an option of backupctl. */
    place: ['--base-path', w.datastore] as const,
    run: (words: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<Ended> => w.run('backupctl', words, '', env),
    start: (words: readonly string[]): ReturnType<FrontEndWorld['start']> => w.start('backupctl', words, ''),
    async stop(): Promise<void> {
      story.close();
      await w.stop();
    },
  };
}
