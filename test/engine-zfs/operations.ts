import type { Engine } from '../../lib/engine/engine';
import { DriverError } from '../../lib/errors';
import type { Bed } from '../conformance/bed';
import type { PlainImage, PlainVm, Wish } from './plain-vm';

/** Where operations happen. */
export interface Place {
  readonly bed: Bed;
  readonly engine: Engine;
}

/** Does something with a VM and its model; returns what it did, in words, or undefined when there was nothing to do it to. */
type Operation = (vm: PlainVm, place: Place) => Promise<string | undefined>;

/**
 * Continues any chain: the newest, also when another full backup came between, or an older one. oned never asks for that,
 * but answers of oned may be late, and servers restored. Only where the newest is meant, it may say nothing.
 */
const increment: Operation = async (vm, { bed, engine }) => {
  const chains = vm.images.filter(isChain);
  const image = vm.chance(0.5) ? chains[0] : vm.oneOf(chains);
  if (image === undefined) return undefined;
  const isSilent = image === chains.at(-1) && vm.chance(0.3);
  const source = await backUp(vm, { image, isSilent }, { bed, engine });
  return `increment ${source} of ${named(image)}${isSilent ? ', oned silent' : ''}`;
};

const reset: Operation = async (vm, place) => `new chain ${await backUp(vm, {}, place)}`;

const full: Operation = async (vm, place) => `full ${await backUp(vm, { isStandalone: true }, place)}`;

const flatten: Operation = async (vm, { engine }) => {
  const image = vm.oneOf(vm.images.filter(({ points }) => points.length > 1));
  if (image === undefined) return undefined;
  const keepLast = 1 + vm.upTo(image.points.length - 1);
  const kept = image.points.slice(-keepLast);
  const answer = await engine.flatten(vm.imageOf(image), keepLast);
  const sources = answer?.chain.map(({ id, source }) => `${id}:${source}`).join();
  const expected = kept.map(({ incrementId, source }) => `${incrementId}:${source}`).join();
  if (sources !== expected) throw new Error(`flatten answered ${sources}, not ${expected}`);
  vm.keep(image, kept);
  return `flatten ${named(image)} to ${keepLast}`;
};

const remove: Operation = async (vm, { engine }) => {
  const image = vm.oneOf(vm.images);
  if (image === undefined) return undefined;
  await engine.remove(vm.imageOf(image));
  vm.keep(image, []);
  return `rm ${named(image)}`;
};

/** Builds on what is gone: it must be refused. */
const orphan: Operation = async (vm, { bed, engine }) => {
  const image = vm.oneOf(vm.images.filter(isChain));
  if (image === undefined) return undefined;
  await engine.remove(vm.imageOf(image));
  vm.keep(image, []);
  const { source } = await vm.lay(bed, { image });
  const failure = await engine.backup(source).then(
    () => 'nothing',
    (error: unknown) => (error instanceof DriverError ? error.kind : error),
  );
  if (failure !== 'notFound') throw new Error(`an increment whose parent is gone failed with ${failure}`);
  return `rm ${named(image)}, and an increment onto it`;
};

/** Each as often as it stands here. */
const OPERATIONS: readonly Operation[] = [
  ...[increment, increment, increment, increment, increment, increment],
  ...[reset, full, flatten, flatten, flatten, remove, orphan],
];

/** Does something to a VM, and returns what, in words. It begins with one chain, and often a second one or a full backup. */
export async function operate(vm: PlainVm, place: Place): Promise<string> {
  const { length } = vm.images;
  const isNew = length === 0 || (length === 1 && vm.chance(0.4));
  const operation = isNew ? vm.oneOf(length === 0 ? [reset] : [reset, reset, full]) : vm.oneOf(OPERATIONS);
  const done = (await operation?.(vm, place)) ?? (await increment(vm, place)) ?? (await reset(vm, place));
  return `VM ${vm.id}: ${done}`;
}

async function backUp(vm: PlainVm, wish: Wish, { bed, engine }: Place): Promise<string> {
  const { source, content } = await vm.lay(bed, wish);
  const stored = await engine.backup(source);
  vm.note(wish, stored, content);
  return stored.source;
}

function isChain({ isStandalone }: PlainImage): boolean {
  return !isStandalone;
}

function named({ id, points }: PlainImage): string {
  return `image ${id} of ${points.length}`;
}
