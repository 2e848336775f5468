import type { Writable } from 'node:stream';
import t, { type Test as TapTest, Test } from 'tap';
import type { BackupSource, FlattenedChain, Point, StoredBackup } from '../../lib/engine/engine';
import type { BackupUrl } from '../../lib/opennebula/backup-url';
import type { BackupImage } from '../../lib/opennebula/image';
import { memoryBed } from './memory-bed';
import { MemoryEngine } from './memory-engine';
import { conformance, holdTo } from './suite';

conformance('the memory engine', memoryBed);

/** Takes the backups of all images of the VM, and a neighbour whose id begins as its own. */
class TakesTooMuch extends MemoryEngine {
  override async remove(image: BackupImage): Promise<void> {
    const { backups } = this.context.store;
    for (const held of backups.values()) if (String(held.vmId).startsWith(String(image.vmId))) this.forget(held);
  }
}

/** Stores something before it looks whether that is complete. */
class StoresHalf extends MemoryEngine {
  override async backup(source: BackupSource): Promise<StoredBackup> {
    const half = this.keep({ vmId: source.vm.id, jobId: source.jobId, replaces: [], files: new Map() });
    const stored = await super.backup(source);
    this.forget(half);
    return stored;
  }
}

/** Goes on with a chain of which nothing is there. */
class TrustsTheParent extends MemoryEngine {
  protected override async proveParent(): Promise<void> {}
}

/** Merges in place: a chain that was cancelled meanwhile has lost its beginning. */
class MergesInPlace extends MemoryEngine {
  override async flatten(image: BackupImage, keepLast: number): Promise<FlattenedChain | undefined> {
    try {
      return await super.flatten(image, keepLast);
    } catch (error) {
      this.forget(image.chain[0]);
      throw error;
    }
  }
}

/** Does not note what a merged backup replaces: the chain of before leads nowhere. */
class ForgetsWhatItMerged extends MemoryEngine {
  protected override keep(backup: Parameters<MemoryEngine['keep']>[0]): ReturnType<MemoryEngine['keep']> {
    return super.keep({ ...backup, replaces: [] });
  }
}

/** Leaves the increments out of a download. */
class ServesTheFullOne extends MemoryEngine {
  protected override resolve(point: Point): ReturnType<MemoryEngine['resolve']> {
    const { links, ...found } = super.resolve(point);
    return { ...found, links: links.slice(0, 1) };
  }
}

/** Says of a disk that the point does not hold what an earlier one held. */
class ServesWhatWasRemoved extends MemoryEngine {
  override async download(url: BackupUrl, output: Writable): Promise<void> {
    await super.download(url, output).catch(() => output.write('something'));
  }
}

const BROKEN: readonly [Engine: typeof MemoryEngine, duty: string][] = [
  [TakesTooMuch, "remove takes the image's own backups only"],
  [StoresHalf, 'a staging folder that is not what it should be'],
  [StoresHalf, 'a cancelled backup stores nothing'],
  [TrustsTheParent, 'an increment without its parent is refused'],
  [MergesInPlace, 'a cancelled flatten loses nothing'],
  [ForgetsWhatItMerged, 'flatten keeps every point that it is to keep'],
  [ServesTheFullOne, 'every point in time restores'],
  [ServesWhatWasRemoved, 'what is not there is not found'],
];

/** How many checks of some duties an engine fails. */
async function failures(Engine: typeof MemoryEngine, duties: readonly string[]): Promise<number> {
  const inner = new Test({ name: Engine.name }) as unknown as TapTest;
  inner.resume();
  await holdTo(inner, () => memoryBed(Engine), duties);
  inner.end();
  return inner.counts.fail;
}

t.test('the suite finds what is broken', async (t) => {
  for (const [Engine, duty] of BROKEN) t.ok((await failures(Engine, [duty])) > 0, `${Engine.name} fails "${duty}"`);
});
