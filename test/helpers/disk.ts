import { execFileSync } from 'node:child_process';
import { closeSync, copyFileSync, openSync, readSync, statSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';

/** Dirty blocks are whole clusters of qcow2. */
const CLUSTER_BYTES = 64 * 1024;

/** A pseudo-random generator with a seed, so that a failing test can be repeated (mulberry32). */
export function randomFrom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** A disk of a VM that lives: its true content at each point in time, and what the transfer driver makes of it. */
export class LiveDisk {
  readonly #folder: string;
  readonly #name: string;
  readonly #random: () => number;
  #sizeBytes: number;
  #dirty = new Map<number, 'data' | 'zero'>();

  constructor(folder: string, name: string, sizeBytes: number, seed: number) {
    this.#folder = folder;
    this.#name = name;
    this.#random = randomFrom(seed);
    this.#sizeBytes = sizeBytes;
    writeFileSync(this.#live, '');
    execFileSync('truncate', ['-s', String(sizeBytes), this.#live]);
  }

  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  get #live(): string {
    return join(this.#folder, `${this.#name}.live`);
  }

  /** The content at a point in time, raw. */
  at(point: string): string {
    return join(this.#folder, `${this.#name}.${point}`);
  }

  /** Writes random data to some clusters, and zeros to a few. */
  change(clusters: number): void {
    const live = openSync(this.#live, 'r+');
    const count = Math.floor(this.#sizeBytes / CLUSTER_BYTES);
    for (let n = 0; n < clusters; n++) {
      const cluster = Math.floor(this.#random() * count);
      const kind = this.#random() < 0.15 ? 'zero' : 'data';
      const content = Buffer.alloc(CLUSTER_BYTES);
      if (kind === 'data')
        for (let at = 0; at < CLUSTER_BYTES; at += 4) content.writeUInt32LE(Math.floor(this.#random() * 2 ** 32), at);
      writeSync(live, content, 0, CLUSTER_BYTES, cluster * CLUSTER_BYTES);
      this.#dirty.set(cluster, kind);
    }
    closeSync(live);
  }

  /** Makes the disk larger, as a resize does. */
  grow(sizeBytes: number): void {
    this.#sizeBytes = sizeBytes;
    execFileSync('truncate', ['-s', String(sizeBytes), this.#live]);
  }

  /** Lays a full backup of now into a file, and remembers now as `point`. */
  full(file: string, point: string): void {
    execFileSync('qemu-img', ['convert', '-f', 'raw', '-O', 'qcow2', this.#live, file]);
    this.#remember(point);
  }

  /** Lays what changed since the last backup into a file: a qcow2 with the dirty clusters, and a backing file that means nothing. */
  increment(file: string, point: string): void {
    execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', file, String(this.#sizeBytes)]);
    const live = openSync(this.#live, 'r');
    const commands = [...this.#dirty].flatMap(([cluster, kind]) => {
      const offset = cluster * CLUSTER_BYTES;
      if (kind === 'zero') return [`write -q -z ${offset} ${CLUSTER_BYTES}`];
      const part = join(this.#folder, `cluster.${cluster}`);
      const content = Buffer.alloc(CLUSTER_BYTES);
      readSync(live, content, 0, CLUSTER_BYTES, offset);
      writeFileSync(part, content);
      return [`write -q -s ${part} ${offset} ${CLUSTER_BYTES}`];
    });
    closeSync(live);
    execFileSync('qemu-io', ['-f', 'qcow2', ...commands.flatMap((command) => ['-c', command]), file], {
      stdio: 'ignore',
    });
    execFileSync('qemu-img', ['rebase', '-u', '-f', 'qcow2', '-F', 'qcow2', '-b', '/nowhere/at-all', file]);
    this.#remember(point);
  }

  #remember(point: string): void {
    copyFileSync(this.#live, this.at(point));
    this.#dirty = new Map();
  }
}

/** Whether a downloaded disk is, byte for byte and in its size, the raw content; says how it differs. */
export function difference(downloaded: string, raw: string): string | undefined {
  try {
    const { 'virtual-size': size } = JSON.parse(
      execFileSync('qemu-img', ['info', '--output=json', downloaded], { encoding: 'utf8' }),
    );
    if (size !== statSync(raw).size) return `it has ${size} bytes, not ${statSync(raw).size}`;
    execFileSync('qemu-img', ['compare', '-F', 'raw', downloaded, raw], { stdio: ['ignore', 'pipe', 'pipe'] });
    return undefined;
  } catch (error) {
    const { stdout, stderr } = error as { stdout: Buffer; stderr: Buffer };
    return `${stdout}${stderr}`.trim() || 'it cannot be read';
  }
}
