import type { Throttle } from '../command/throttle';
import type { Attributes } from '../opennebula/attributes';
import type { AttributeFact } from './engine';

/** Reads the limits of the transfer, which every driver has under its own prefix: `RESTIC`, `RSYNC`, `ZFS`. Throws `config`. */
export function readThrottle(attributes: Attributes, prefix: string): Throttle {
  return {
    nice: attributes.integer(`${prefix}_NICE`, -19, 19),
    ionice: attributes.integer(`${prefix}_IONICE`, 0, 7),
    maxReadIops: attributes.integer(`${prefix}_MAX_RIOPS`, 1, 1_000_000_000),
    maxWriteIops: attributes.integer(`${prefix}_MAX_WIOPS`, 1, 1_000_000_000),
    cpuQuotaPercent: attributes.integer(`${prefix}_CPU_QUOTA`, 1, 100_000),
    maxMemoryMb: attributes.integer(`${prefix}_MEMORY_MAX_MB`, 16, 1_000_000_000),
  };
}

/** What is said of them. */
export function throttleFacts(prefix: string): AttributeFact[] {
  const limit = 'of the transfer on the host';
  return [
    { name: `${prefix}_NICE`, what: `the nice level ${limit}` },
    { name: `${prefix}_IONICE`, what: `the level of ionice ${limit}` },
    { name: `${prefix}_MAX_RIOPS`, what: `the reads per second ${limit}` },
    { name: `${prefix}_MAX_WIOPS`, what: `the writes per second ${limit}` },
    { name: `${prefix}_CPU_QUOTA`, what: `the percentage of one CPU ${limit}` },
    { name: `${prefix}_MEMORY_MAX_MB`, what: `the memory ${limit}, in MB` },
  ];
}
