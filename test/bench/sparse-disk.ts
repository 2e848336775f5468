import { randomFillSync } from 'node:crypto';
import { closeSync, ftruncateSync, openSync, writeSync } from 'node:fs';

const MIB = 2 ** 20;

/** A raw disk with a MiB of random bytes at each of these places, and holes elsewhere. */
export function writePlaces(file: string, sizeMb: number, placesMb: readonly number[]): void {
  const descriptor = openSync(file, 'w');
  ftruncateSync(descriptor, sizeMb * MIB);
  for (const place of placesMb) writeSync(descriptor, randomFillSync(Buffer.alloc(MIB)), 0, MIB, place * MIB);
  closeSync(descriptor);
}

/** Writes anew so many clusters of what every fourth MiB holds. */
export function writeClusters(file: string, count: number, seed: number, sizeMb: number): void {
  const descriptor = openSync(file, 'r+');
  for (let n = 0; n < count; n++) {
    const place = ((seed * 29 + n * 13) % (sizeMb / 4)) * 4;
    writeSync(descriptor, randomFillSync(Buffer.alloc(MIB / 16)), 0, MIB / 16, place * MIB);
  }
  closeSync(descriptor);
}

/** So many places, evenly over a disk. */
export function spread(count: number, sizeMb: number): number[] {
  return Array.from({ length: count }, (_, n) => Math.floor((n * sizeMb) / count));
}
