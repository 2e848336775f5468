import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { killGroup } from '../helpers/processes';
import { comesWhile, waitFor } from '../helpers/waits';
import { flipBlock, leaveFillings } from './backups-machine';
import type { BackupsWorld } from './backups-world';

/** What was damaged, and how to mend it. */
export interface Flipped {
  readonly damaged: readonly { readonly source: string; readonly disk: number }[];
  readonly mend: () => void;
}

/** What was left behind: what is dead, and what is not. */
export interface Left {
  readonly left: readonly string[];
  readonly kept: readonly string[];
  /** Ends who uses what is not dead. */
  readonly release: () => void;
}

/** Changes one byte of what is stored of VM 1, and says which disks that damages. */
export function flipOne(b: BackupsWorld): Flipped {
  return b.w.machine === undefined ? { damaged: flipFile(b), mend: b.putBack } : flipBlock(b, b.w.machine);
}

function flipFile(b: BackupsWorld): Flipped['damaged'] {
  const folder = join(b.w.datastore, '1');
  const flip = (path: string, at: number): void => {
    execFileSync('chmod', ['u+w', path]);
    const content = readFileSync(path);
    content[at] = (content[at] ?? 0) ^ 1;
    writeFileSync(path, content);
  };
  if (b.w.driver === 'rsync') {
    const source = b.chain[1]?.source ?? '';
    const path = join(folder, source, 'disk.1.1');
    flip(path, statSync(path).size - 70_000);
    return [{ source, disk: 1 }];
  }
  const packs = readdirSync(join(folder, 'data'), { recursive: true, encoding: 'utf8' }).map((name) =>
    join(folder, 'data', name),
  );
  const [largest = ''] = packs
    .filter((path) => statSync(path).isFile())
    .sort((x, y) => statSync(y).size - statSync(x).size);
  flip(largest, 300_000);
  const stock = b.stock('1');
  return stock.snapshots().flatMap(({ id, paths }) =>
    paths.flatMap((path) => {
      try {
        stock.dump(id, path);
        return [];
      } catch {
        return [{ source: id.slice(0, 8), disk: Number(/disk\.(\d+)/.exec(path)?.[1]) }];
      }
    }),
  );
}

/** Takes a backup of VM 1 away, as nobody should. */
export function lose({ w }: BackupsWorld, source: string): void {
  const snapshot = `${w.datastore.slice(1)}/1@one-backup-${source}`;
  if (w.machine !== undefined) w.machine.shSync(`zfs release one-backup ${snapshot} && zfs destroy ${snapshot}`);
  else if (w.driver === 'rsync') rmSync(join(w.datastore, '1', source), { recursive: true });
  else {
    const folder = join(w.datastore, '1', 'snapshots');
    for (const name of readdirSync(folder).filter((one) => one.startsWith(source)))
      rmSync(join(folder, name), { force: true });
  }
}

/** Whether something is on the backup server. */
export function isStored({ w }: BackupsWorld, path: string): boolean {
  if (w.machine === undefined) return existsSync(path);
  return w.machine.shSync(`test -e '${path}' && echo yes || true`) === 'yes';
}

/** Leaves what dead actions leave, and what only looks like it. */
export async function leaveBehind(b: BackupsWorld): Promise<Left> {
  const { w } = b;
  if (w.machine !== undefined) return leaveFillings(w.machine, w.datastore);
  const make = (...names: string[]): string => {
    const path = join(...names);
    mkdirSync(path, { recursive: true });
    return path;
  };
  const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').slice(0, 8);
  const left = [make(w.temporary, 'one-backup-download-00000000-1-abcdefgh')];
  const kept = [make(w.temporary, `one-backup-download-${boot}-${process.pid}-abcdefgh`)];
  const repository = join(w.datastore, '1');
  if (w.driver === 'rsync') {
    left.push(make(repository, '.receiving-0a'), make(repository, '.merging-0b'), make(repository, '.removing-0c'));
    const held = make(repository, '.receiving-0d');
    kept.push(held);
    const holder = spawn('flock', ['--shared', held, 'sleep', '600'], { stdio: 'ignore', detached: true });
    await waitFor('flock holds the folder', () => isHeld(held));
    return { left, kept, release: () => killGroup(holder.pid) };
  }
  left.push(make(w.datastore, `1.new-${hostname()}.4194304.abc`), make(w.datastore, '1.broken-abc'));
  kept.push(make(w.datastore, `1.new-${hostname()}.${process.pid}.abc`));
  const upload = join(repository, 'data', '00', `${'a'.repeat(64)}-restic-temp-1234`);
  make(repository, 'data', '00');
  writeFileSync(upload, 'half');
  utimesSync(upload, 1, 1);
  const dying = spawn('restic', ['-r', repository, '--no-cache', 'backup', '--stdin'], {
    env: { ...process.env, RESTIC_PASSWORD: w.password },
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  const locks = (): string[] => readdirSync(join(repository, 'locks')).filter((name) => /^[0-9a-f]{64}$/.test(name));
  if (!(await comesWhile(dying, 'restic has locked the repository', () => locks().length > 0)))
    throw new Error('restic ended before it had locked the repository');
  dying.kill('SIGKILL');
  await new Promise((resolve) => dying.once('close', resolve));
  return {
    left: [...left, upload, ...locks().map((name) => join(repository, 'locks', name))],
    kept,
    release: () => {},
  };
}

function isHeld(folder: string): boolean {
  try {
    execFileSync('flock', ['--nonblock', '--exclusive', folder, 'true'], { stdio: 'ignore' });
    return false;
  } catch {
    return true;
  }
}

/** Makes a merged backup and leaves what it replaced; returns their sources. */
export async function leaveMerged(b: BackupsWorld): Promise<string[]> {
  const { w, chain, story } = b;
  const sources = chain.map(({ source }) => source);
  if (w.driver === 'rsync') {
    await b.ours.flatten(chain, 2);
    const replaced = sources.slice(0, 3);
    const copies = replaced.map((source) => join(`${w.datastore}.kept`, '1', source));
    execFileSync('cp', ['-a', ...copies, join(w.datastore, '1')]);
    return replaced;
  }
  const replaced = sources.slice(0, 2);
  const stock = b.stock('1');
  const time = (stock.snapshots(replaced[1] ?? '')[0]?.time ?? '').slice(0, 19).replace('T', ' ');
  const files = ['disk.0.1', 'disk.1.1', 'vm.xml'].map((name) => join(story.chain[1].folder, name));
  const tags = ['one-1', ...replaced.map((source) => `one-replaces-${source}`)].map((tag) => `--tag=${tag}`);
  stock.restic(tags, 'backup', `--time=${time}`, ...files);
  return replaced;
}
