import type { AbsolutePath } from '../opennebula/ids';

/** How much of a host a transfer may take; each limit only where the datastore sets one. */
export interface Throttle {
  /** nice(1): -20 to 19. */
  readonly nice: number | undefined;
  /** The level of ionice(1)'s best-effort class: 0 to 7. */
  readonly ionice: number | undefined;
  readonly maxReadIops: number | undefined;
  readonly maxWriteIops: number | undefined;
  /** Percent of one CPU; 200 is two of them. */
  readonly cpuQuotaPercent: number | undefined;
  readonly maxMemoryMb: number | undefined;
}

/**
 * Returns the words before a command that keep it within its limits: nice and ionice, and a systemd scope of the user
 * (systemd-run(1), systemd.resource-control(5)). A scope, unlike a service, leaves the command a child of its
 * supervisor, and so within reach of cancel. `path` says whose device the I/O limits are for.
 */
export function throttle(limits: Throttle, path: AbsolutePath): string[] {
  const properties = [
    limits.cpuQuotaPercent === undefined ? [] : [`CPUQuota=${limits.cpuQuotaPercent}%`],
    limits.maxReadIops === undefined ? [] : [`IOReadIOPSMax=${path} ${limits.maxReadIops}`],
    limits.maxWriteIops === undefined ? [] : [`IOWriteIOPSMax=${path} ${limits.maxWriteIops}`],
    limits.maxMemoryMb === undefined ? [] : [`MemoryMax=${limits.maxMemoryMb}M`],
  ].flat();
  return [
    ...(limits.nice === undefined ? [] : ['nice', '-n', String(limits.nice)]),
    ...(limits.ionice === undefined ? [] : ['ionice', '-c', '2', '-n', String(limits.ionice)]),
    ...(properties.length === 0
      ? []
      : [
          'systemd-run',
          '--user',
          '--scope',
          '--quiet',
          '--collect',
          ...properties.map((property) => `--property=${property}`),
          '--',
        ]),
  ];
}
