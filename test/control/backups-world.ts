import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';
import { formatTemplate } from '../../lib/opennebula/template-text';
import { type Known, StockDriver } from '../conformance/stock-driver';
import { StockRsyncDriver } from '../conformance/stock-rsync-driver';
import { builtScripts } from '../conformance/stock-scripts';
import { type Stage, writeStory } from '../conformance/story';
import { difference } from '../helpers/disk';
import type { DriverName } from '../helpers/drivers';
import { type Ended, type FrontEndWorld, startFrontEnd } from '../helpers/front-end';
import { quickenKey } from '../helpers/quick-key';

/** Backups of VM 1 (increments 0 to 3, by our drivers), of VM 1 in job 0, and of VM 10 by the stock driver, where there is one. */
export type BackupsWorld = Awaited<ReturnType<typeof openBackups>>;

/** Nobody listens there: oned is gone. */
export const GONE = { ONE_XMLRPC: 'http://127.0.0.1:1/RPC2' };

/** A backup as the list tells it. */
interface Listed {
  readonly vmId: number;
  readonly incrementId: number;
  readonly source: string;
  readonly time: string;
  readonly problem: string | null;
  readonly [name: string]: unknown;
}

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
  if (w.machine === undefined) mkdirSync(w.datastore, { recursive: true });
  const repository = (name: string): string => {
    const path = join(w.datastore, name);
    if (driver === 'restic') execFileSync('cp', ['-a', blank, path]);
    return path;
  };
  const ours = builtScripts(w);
  const isSlow = w.machine !== undefined;
  const chain: Known[] = [];
  const neighbour: Known[] = [];
  const backUpChain = async (): Promise<string> => {
    repository('1');
    for (const stage of story.chain.slice(0, 4))
      chain.push({ id: stage.incrementId, source: await ours.backUp(stage, 1) });
    repository('job_0');
    return ours.backUp(story.foreign, 1, 0);
  };
  const stock = repository('10');
  const stockRsync = new StockRsyncDriver(w.datastore);
  const backUpNeighbour = async (): Promise<void> => {
    for (const stage of story.neighbour.slice(0, isSlow ? 1 : 2)) {
      const { folder, incrementId: id } = stage;
      if (driver === 'zfs') neighbour.push({ id, source: await ours.backUp(stage, 10) });
      else if (driver === 'rsync') neighbour.push({ id, source: stockRsync.backUp(10, folder) });
      else
        neighbour.push({
          id,
          source: new StockDriver(stock, w.password, stockHome).backUpCopy(10, folder, staging(10)),
        });
    }
  };
  const [foreign] = await Promise.all([backUpChain(), backUpNeighbour()]);
  const file = join(w.folder, 'backups.ds');
  const attributes = { NAME: 'backups', TYPE: 'BACKUP_DS', DS_MAD: driver, TM_MAD: '-', ...w.attributes };
  writeFileSync(file, formatTemplate(Object.entries(attributes)));

  const at = (name: string): string => join(w.folder, name);
  const home = { XDG_STATE_HOME: at('state') };
  const place = ['--base-path', w.datastore];
  const run = (words: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<Ended> =>
    w.run('backupctl', words, '', { ...home, ...env });
  const call = (name: string, ...words: string[]): string[] => [name, file, ...place, ...words];
  const ok = async (words: readonly string[], env: NodeJS.ProcessEnv = GONE): Promise<Ended> => {
    const ended = await run(words, env);
    if (ended.code !== 0) throw new Error(`${words.join(' ')}: exit code ${ended.code}: ${ended.stderr}`);
    return ended;
  };
  // Of a machine a copy takes too long: tests mend what they damage.
  const putBack = isSlow ? (): void => {} : w.traits.keep(w.datastore);

  return {
    ...{ w, story, ours, chain, foreign, neighbour, file, at, run },
    /** The server is a machine that takes its time: nothing is tested on it that is the same for all drivers. */
    isSlow,
    /** The newest backup of VM 10. */
    newest: story.neighbour[neighbour.length - 1] as Stage,
    /** The words of a subcommand on the file of the template. */
    call,
    /** Runs it, without oned unless told; throws what it failed with. */
    ok,
    /** What the list tells. */
    listed: async (...words: string[]): Promise<Listed[]> =>
      (JSON.parse((await ok(call('list', '--json', ...words))).stdout) as { backups: Listed[] }).backups,
    /** Undoes what a test did to the stored backups. */
    putBack,
    /** Makes the repository of a VM, where the driver has one. */
    init: repository,
    /** Restic as the admin runs it on the server. */
    stock: (name: string): StockDriver => new StockDriver(join(w.datastore, name), w.password, stockHome),
    start: (words: readonly string[]): ReturnType<FrontEndWorld['start']> => w.start('backupctl', words, '', home),
    async stop(): Promise<void> {
      story.close();
      await w.stop();
    },
  };
}

/** Checks that a folder holds what a stage was, and nothing that is not complete. */
export function isStage(t: Test, folder: string, stage: Stage, format = 'qcow2'): void {
  for (const [id, raw] of stage.disks)
    t.equal(difference(join(folder, `disk.${id}.${format}`), raw), undefined, `disk ${id} at ${stage.incrementId}`);
  const xml = Buffer.from(stage.vmXml.toString(), 'base64').toString();
  t.equal(readFileSync(join(folder, 'vm.xml'), 'utf8'), xml, 'vm.xml can be read');
  if (stage.tpm !== undefined) t.ok(readFileSync(join(folder, 'disk.tpm.0')).equals(stage.tpm), 'the TPM state');
  t.strictSame(
    readdirSync(folder).filter((name) => name.startsWith('.')),
    [],
    'nothing else is left',
  );
}
