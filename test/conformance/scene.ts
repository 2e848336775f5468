import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { cp, mkdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Test } from 'tap';
import type { BackupSource, Engine, Point, StoredBackup } from '../../lib/engine/engine';
import { DriverError, type ErrorKind } from '../../lib/errors';
import { type DiskId, type ImageId, type IncrementId, type JobId, joinPath, type VmId } from '../../lib/opennebula/ids';
import type { BackupImage } from '../../lib/opennebula/image';
import type { Chain, Increment } from '../../lib/opennebula/increment';
import { difference } from '../helpers/disk';
import type { Bed, MakeBed } from './bed';
import { type Stage, type Story, writeStory } from './story';

/** Ids of which one begins as the other: whoever matches by beginning takes both. */
export const VM = 1 as VmId;
export const NEIGHBOUR = 10 as VmId;
/** A VM that no job backs up. */
export const LONER = 7 as VmId;
export const JOB = 0 as JobId;

/** Some backups of one image, as oned knows them, with what each must restore to. */
export interface Kept {
  readonly vmId: VmId;
  readonly jobId: JobId | undefined;
  readonly chain: readonly Increment[];
  readonly stages: readonly Stage[];
}

/** The stage of a suite's run: the story, an empty datastore, and one that holds its first part. */
export interface Scene {
  readonly story: Story;
  /** Increments 0 to 3 of the VM, all but the last of its stages. */
  readonly kept: Kept;
  /** Of the same VM and job, but of another image. */
  readonly foreign: Kept;
  /** Of another VM, in the same job. */
  readonly neighbour: Kept;
  /** A datastore in which nothing was stored. */
  empty(): Promise<Bed>;
  /** A datastore that holds all three. */
  filled(): Promise<Bed>;
  close(): Promise<void>;
}

let written: Story | undefined;

/** The story, the same for all scenes of a process. */
function theStory(): Story {
  if (written !== undefined) return written;
  written = writeStory();
  process.once('exit', written.close);
  return written;
}

/** Makes the scene: the engine's own backups fill it. */
export async function openScene(makeBed: MakeBed): Promise<Scene> {
  const story = theStory();
  const blank = await makeBed();
  const close = (): Promise<void> => blank.close();
  try {
    const first = await blank.copy();
    const engine = first.open();
    let kept: Kept = { vmId: VM, jobId: JOB, chain: [], stages: [] };
    for (const stage of story.chain.slice(0, 4)) kept = await extend(first, engine, kept, stage);
    const none = { jobId: JOB, chain: [], stages: [] };
    const foreign = await extend(first, engine, { ...none, vmId: VM }, story.foreign);
    const neighbour = await extend(first, engine, { ...none, vmId: NEIGHBOUR }, story.neighbour[0]);
    const full = await first.copy();
    await first.close();
    const [empty, filled] = [() => blank.copy(), () => full.copy()];
    return { story, kept, foreign, neighbour, empty, filled, close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** Lays a stage into the staging folder of a VM, and says what the backup action would of it. */
export async function lay(bed: Bed, { vmId, jobId, chain }: Kept, stage: Stage): Promise<BackupSource> {
  const folder = bed.staging(vmId);
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true });
  await cp(stage.folder, folder, { recursive: true });
  const vm = {
    id: vmId,
    name: `vm-${vmId}`,
    bridgeHost: undefined,
    incrementId: stage.incrementId as IncrementId,
    parentId: chain[chain.length - 1]?.id,
    isStandalone: false,
    diskSizesMb: new Map(),
    chainImageId: undefined,
  };
  const diskIds = [...stage.disks.keys()] as unknown as readonly [DiskId, ...DiskId[]];
  const parentSource = async (): Promise<undefined> => undefined;
  return { host: bed.host, folder, diskIds, vm, jobId, parentSource };
}

/** Backs a stage up as the next of a chain. */
export async function extend(bed: Bed, engine: Engine, kept: Kept, stage: Stage): Promise<Kept> {
  return joined(kept, stage, await engine.backup(await lay(bed, kept, stage)));
}

/** The chain with one backup more. */
export function joined(kept: Kept, stage: Stage, { source }: Pick<StoredBackup, 'source'>): Kept {
  const added: Increment = { id: stage.incrementId as IncrementId, source };
  return { ...kept, chain: [...kept.chain, added], stages: [...kept.stages, stage] };
}

/** The point in time of a stage, by whatever chain `kept` has. */
export function pointAt({ vmId, jobId, chain }: Kept, incrementId: number): Point {
  return { vmId, jobId, chain: chain.filter(({ id }) => id <= incrementId) as unknown as Chain };
}

/** The newest point. */
export function lastPoint(kept: Kept): Point {
  return pointAt(kept, kept.stages[kept.stages.length - 1]?.incrementId ?? -1);
}

/** The image of a chain, as messages hold it. */
export function imageOf({ vmId, jobId, chain }: Kept): BackupImage {
  return { id: 6 as ImageId, vmId, jobId, format: 'raw', chain: chain as unknown as Chain };
}

/** Checks that an action fails with one of these kinds of error, and throws nothing but a DriverError. */
export async function refused(
  t: Test,
  action: Promise<unknown>,
  kinds: ErrorKind | readonly ErrorKind[],
  what: string,
) {
  const failure = await action.then(
    () => undefined,
    (error: unknown) => error,
  );
  const kind = failure instanceof DriverError ? failure.kind : failure;
  const wanted = [kinds].flat();
  if (wanted.includes(kind as ErrorKind)) t.pass(`${what}: ${kind}`);
  else t.fail(`${what} should be ${wanted.join(' or ')}`, { found: kind ?? 'success', failure });
}

let downloads = 0;

/** Downloads what a URL names into a file and returns the file. */
export async function fetch(bed: Bed, engine: Engine, url: string, story: Story): Promise<string> {
  const file = join(story.folder, `download-${downloads++}`);
  const output = createWriteStream(file);
  const closed = once(output, 'close');
  try {
    await engine.download(bed.parseUrl(url), output);
    output.end();
  } catch (error) {
    output.destroy();
    throw error;
  } finally {
    await closed;
  }
  return file;
}

/** Checks that URLs of disks give the content of a stage, byte for byte. */
export async function sameDisks(
  t: Test,
  bed: Bed,
  urls: ReadonlyMap<number, string>,
  stage: Stage,
  story: Story,
): Promise<void> {
  t.strictSame([...urls.keys()].sort(), [...stage.disks.keys()].sort(), `the disks of ${stage.incrementId}`);
  const disk = async ([id, url]: readonly [number, string]): Promise<void> => {
    const file = await fetch(bed, bed.open(), url, story);
    const what = `disk ${id} at increment ${stage.incrementId}`;
    t.equal(difference(file, stage.disks.get(id) ?? ''), undefined, `${what} is as it was`);
    await rm(file);
  };
  await Promise.all([...urls].map(disk));
}

/** Checks that a point of a chain lists and restores its stage: all disks, and vm.xml. Returns the URLs of the disks. */
export async function samePoint(
  t: Test,
  bed: Bed,
  kept: Kept,
  stage: Stage,
  story: Story,
): Promise<ReadonlyMap<number, string>> {
  const engine = bed.open();
  const { disks, point, vmXml } = await engine.files(pointAt(kept, stage.incrementId));
  const urls = new Map([...disks].map(([id, { url }]) => [id as number, url]));
  await sameDisks(t, bed, urls, stage, story);
  t.ok((await engine.read(point, vmXml)).equals(stage.vmXml), `vm.xml of ${stage.incrementId} is as it was`);
  return urls;
}

/** Checks that a TPM state comes back, by its path and by its URL. */
export async function sameTpm(t: Test, bed: Bed, kept: Kept, stage: Stage, story: Story): Promise<void> {
  const engine = bed.open();
  const { tpm, point } = await engine.files(pointAt(kept, stage.incrementId));
  if (stage.tpm === undefined) return void t.equal(tpm, undefined, `no TPM at ${stage.incrementId}`);
  if (tpm === undefined) return void t.fail(`the TPM of ${stage.incrementId} is not listed`);
  t.ok((await engine.read(point, tpm.path)).equals(stage.tpm), `the TPM of ${stage.incrementId} can be read`);
  const file = await fetch(bed, engine, tpm.url, story);
  t.ok((await readFile(file)).equals(stage.tpm), `the TPM of ${stage.incrementId} can be downloaded`);
}

/** Path of a file in the staging folder of a VM. */
export function staged(bed: Bed, vmId: VmId, name: string): string {
  return joinPath(bed.staging(vmId), name);
}
