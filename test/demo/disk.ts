import { execFileSync } from 'node:child_process';
import { copyFileSync, cpSync, mkdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { randomFrom } from '../helpers/disk';

const MODULES = join(__dirname, '..', '..', 'node_modules');
/** A smaller disk holds no file that is larger. */
const SMALL_MB = 64;
const SMALL_FILE_BYTES = 500_000;

/** The disk of a VM: an ext4 filesystem that holds real files and changes from point to point. Nothing is mounted. */
export class VmDisk {
  readonly sizeMb: number;
  readonly #folder: string;
  readonly #env: NodeJS.ProcessEnv;
  readonly #random: () => number;
  #points = 0;

  constructor(folder: string, env: NodeJS.ProcessEnv, seed: number, sizeMb: number) {
    this.sizeMb = sizeMb;
    this.#folder = folder;
    this.#env = { ...env, PATH: `${env.PATH}:/usr/sbin:/sbin` };
    this.#random = randomFrom(seed);
    const files = join(folder, 'files');
    mkdirSync(files, { recursive: true });
    const filter = (path: string): boolean => sizeMb > SMALL_MB || statSync(path).size <= SMALL_FILE_BYTES;
    cpSync(join(MODULES, 'typescript'), join(files, 'typescript'), { recursive: true, filter });
    cpSync(join(MODULES, '@esbuild'), join(files, 'esbuild'), { recursive: true, filter });
    this.#write('random', 8);
    cpSync(this.#path('random'), join(files, 'random'));
    this.#exec('mke2fs', ['-q', '-F', '-t', 'ext4', '-d', files, this.#path('now'), `${sizeMb}M`]);
    execFileSync('rm', ['-rf', files]);
  }

  /** The raw content at a point in time. */
  at(point: number): string {
    return this.#path(`point.${point}`);
  }

  /** Writes a file into the filesystem, and removes another. */
  change(): void {
    const name = `news-${this.#points}`;
    this.#write(name, 3);
    const requests = [`write ${this.#path(name)} /${name}`, 'rm /typescript/README.md'];
    for (const request of requests) this.#exec('debugfs', ['-w', '-R', request, this.#path('now')]);
  }

  /** Lays a full backup of now into a file. */
  full(file: string): void {
    this.#exec('qemu-img', ['convert', '-f', 'raw', '-O', 'qcow2', this.#path('now'), file]);
    this.#remember();
  }

  /** Lays what has changed since the last point into a file: the clusters that differ, and a meaningless backing file. */
  increment(file: string): void {
    const before = this.at(this.#points - 1);
    this.#exec('qemu-img', ['create', '-q', '-f', 'qcow2', '-F', 'raw', '-b', this.#path('now'), file]);
    this.#exec('qemu-img', ['rebase', '-f', 'qcow2', '-F', 'raw', '-b', before, file]);
    this.#exec('qemu-img', ['rebase', '-u', '-f', 'qcow2', '-F', 'qcow2', '-b', '/nowhere/at-all', file]);
    this.#remember();
  }

  #remember(): void {
    copyFileSync(this.#path('now'), this.at(this.#points));
    this.#points += 1;
  }

  /** Writes random bytes, which no compression makes smaller, into a file beside the disk. */
  #write(name: string, sizeMb: number): void {
    const content = Buffer.alloc(sizeMb * 2 ** 20);
    for (let at = 0; at < content.length; at += 4) content.writeUInt32LE(Math.floor(this.#random() * 2 ** 32), at);
    writeFileSync(this.#path(name), content);
  }

  #path(name: string): string {
    return join(this.#folder, name);
  }

  #exec(program: string, args: readonly string[]): void {
    execFileSync(program, args, { env: this.#env, stdio: ['ignore', 'ignore', 'pipe'] });
  }
}
