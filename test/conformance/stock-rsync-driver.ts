import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import type { Known } from './stock-driver';

/** What OpenNebula's own rsync driver does with the folder of a datastore, step by step as its scripts do it. */
export class StockRsyncDriver {
  readonly #datastore: string;
  #named = 0;

  constructor(datastore: string) {
    this.#datastore = datastore;
  }

  /** backup: a folder named by six hexadecimal digits, into which all of the staging folder is copied. */
  backUp(vmId: number, from: string): string {
    const source = (0x0e4500 + ++this.#named).toString(16).padStart(6, '0'); // one that looks like a number, too
    const folder = this.folder(vmId, source);
    mkdirSync(folder, { recursive: true });
    execFileSync('rsync', ['-aS', `${from}/`, `${folder}/`]);
    return source;
  }

  folder(vmId: number, source: string): string {
    return join(this.#datastore, String(vmId), source);
  }

  /** The sources of a VM's backups, as `ls` shows them. */
  stored(vmId: number): string[] {
    const folder = join(this.#datastore, String(vmId));
    return existsSync(folder) ? readdirSync(folder).sort() : [];
  }

  /** increment_flatten: chains the files in place, converts the last one, and removes the folders before. */
  flatten(vmId: number, chain: readonly Known[], keepLast: number): Known[] {
    const merged = chain.slice(0, chain.length - keepLast + 1);
    const last = merged[merged.length - 1] as Known;
    for (const name of this.#disks(vmId, last.source)) {
      const files = this.#chainInPlace(vmId, merged, name.split('.')[1] ?? '');
      const path = files[files.length - 1] ?? '';
      execFileSync('qemu-img', ['convert', '-O', 'qcow2', path, `${path}.tmp`]);
      execFileSync('mv', [`${path}.tmp`, path]);
    }
    for (const { source } of merged.slice(0, -1)) rmSync(this.folder(vmId, source), { recursive: true });
    return chain.slice(merged.length - 1);
  }

  /** The downloader: reads a backup URL and returns the file that it sends. */
  download(url: string): string {
    const [, , , , chain = '', ...rest] = url.split('/');
    const path = `/${rest.join('/')}`;
    const known = chain
      .split(',')
      .map((pair) => ({ id: Number(pair.split(':')[0]), source: pair.split(':')[1] ?? '' }));
    if (known.length === 1) return path;
    const vmId = Number(basename(dirname(dirname(path))));
    const files = this.#chainInPlace(vmId, known, basename(path).split('.')[1] ?? '');
    const target = join(mkdtempSync(join(tmpdir(), 'one-backup-stock-')), basename(path));
    execFileSync('qemu-img', ['convert', '-O', 'qcow2', files[files.length - 1] ?? '', target]);
    return target;
  }

  #disks(vmId: number, source: string): string[] {
    return readdirSync(this.folder(vmId, source)).filter((name) => /^disk\.\d/.test(name));
  }

  /** Writes into the header of each file of a disk where the one before is; returns them in order. */
  #chainInPlace(vmId: number, chain: readonly Known[], index: string): string[] {
    const files = chain.flatMap(({ source }) =>
      this.#disks(vmId, source)
        .filter((name) => name.split('.')[1] === index)
        .map((name) => join(this.folder(vmId, source), name)),
    );
    for (const [at, file] of files.entries()) {
      if (at > 0) execFileSync('qemu-img', ['rebase', '-u', '-F', 'qcow2', '-b', files[at - 1] ?? '', file]);
    }
    return files;
  }
}
