import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { formatTemplate } from '../../lib/opennebula/template-text';
import type { FrontEndWorld } from '../helpers/front-end';
import { writeSnapshots } from '../helpers/quick-key';
import type { ZfsMachine } from '../helpers/zfs-machine';
import { type Pair, timed } from './measure';

const VMS = 100;
/** Each has a chain of so many. */
const LENGTH = 10;
const JOB = 7;
const MINUTE_MS = 60_000;

/** One of the backups: of a VM, with its place in the chain, and when it was made. */
interface Backup {
  readonly vmId: number;
  readonly increment: number;
  readonly time: string;
}

const BACKUPS: readonly Backup[] = Array.from({ length: VMS * LENGTH }, (_, index) => ({
  vmId: index % VMS,
  increment: Math.floor(index / VMS),
  time: new Date(1_790_000_000_000 + index * MINUTE_MS).toISOString(),
}));

/** `backupctl list` of a thousand backups in one repository, and one listing by restic. */
export async function listedByRestic(w: FrontEndWorld, password: string): Promise<Pair> {
  const folder = join(w.folder, 'server', 'datastores', '101');
  const repository = join(folder, `job_${JOB}`);
  mkdirSync(folder, { recursive: true });
  const env = { ...w.env, RESTIC_PASSWORD: password };
  const restic = (...args: string[]): string =>
    execFileSync('restic', ['-r', repository, '--no-cache', ...args], { env, encoding: 'utf8' });
  restic('init');
  writeFileSync(join(w.folder, 'vm.xml'), 'PFZNLz4=');
  restic('backup', '--quiet', '--host=host1', join(w.folder, 'vm.xml'));
  const [{ id, short_id: _, ...first }] = JSON.parse(restic('snapshots', '--json'));
  restic('forget', '--quiet', id);
  const snapshots = BACKUPS.map(({ vmId, increment, time }) => {
    const staging = `/var/lib/one/datastores/102/${vmId}/backup`;
    const files = [`disk.0.${increment}`, 'vm.xml', 'manifest.json'].map((name) => `${staging}/${name}`);
    const facts = `bytes=3146889&image=${vmId}${increment === 0 ? '' : `&parent=${increment - 1}`}&disk.0.${increment}=1638400/42`;
    return { ...first, time, paths: files, tags: [`one-${vmId}`, `one-facts:${facts}`] };
  });
  writeSnapshots(repository, password, snapshots);
  const bare = ['-r', `sftp:${userInfo().username}@server:${repository}`, 'snapshots', '--json', '--no-lock'];
  return { ours: await ours(w, folder), bare: () => timed({ program: 'restic', args: bare, env }) };
}

/** `backupctl list` of a thousand backups, and one listing by rsync. */
export async function listedByRsync(w: FrontEndWorld): Promise<Pair> {
  const folder = join(w.folder, 'server', 'datastores', '101');
  for (const [index, { vmId, increment, time }] of BACKUPS.entries()) {
    const backup = join(folder, String(vmId), index.toString(16).padStart(12, '0'));
    mkdirSync(backup, { recursive: true });
    const files = [
      { name: `disk.0.${increment}`, sizeBytes: 3, sha256: 'a'.repeat(64), diskId: 0, virtualSizeMb: 42 },
      { name: 'vm.xml', sizeBytes: 3, sha256: 'b'.repeat(64) },
    ];
    for (const { name } of files) writeFileSync(join(backup, name), 'abc');
    const origin = { version: 1, driver: 'rsync 0.1.0', time, datastoreId: 101, vmId, imageId: vmId };
    const parent = increment === 0 ? {} : { parentId: increment - 1 };
    writeFileSync(
      join(backup, 'manifest.json'),
      JSON.stringify({ ...origin, incrementId: increment, ...parent, files }),
    );
  }
  execFileSync('sync');
  const bare = { program: 'rsync', args: ['--list-only', '--recursive', `server:${folder}/`], env: w.env };
  return { ours: await ours(w, folder), bare: () => timed(bare) };
}

/** `backupctl list` of a thousand backups, and one listing by zfs. */
export async function listedByZfs(w: FrontEndWorld, machine: ZfsMachine): Promise<Pair> {
  const dataset = `${w.attributes.ZFS_DATASET}/101`;
  const vms = Array.from({ length: VMS }, (_, vmId) => `zfs create ${dataset}/${vmId}`);
  const made = BACKUPS.map(({ vmId, increment }, index) => {
    const source = (of: number): string => of.toString(16).padStart(12, '0');
    const told = { vm: vmId, increment, image: vmId, chain: source(vmId), bytes: 3146889, disks: '0:1638400:42' };
    const parent = increment === 0 ? {} : { parent: source(index - VMS) };
    const options = Object.entries({ ...told, ...parent }).map(([name, value]) => `-o one-backup:${name}=${value}`);
    return `zfs snapshot ${options.join(' ')} ${dataset}/${vmId}@one-backup-${source(index)}`;
  });
  const commands = ['set -e', `zfs create ${dataset}`, ...vms, ...made, 'zpool sync tank'];
  const said = await machine.run('sh', { input: `${commands.join('\n')}\n` });
  if (said.code !== 0) throw new Error(said.stderr);
  const bare = {
    program: 'ssh',
    args: ['oneadmin@server', `zfs list -Hp -r -t snapshot -o name,creation,used ${dataset}`],
    env: w.env,
  };
  return { ours: await ours(w, `/${dataset}`), bare: () => timed(bare) };
}

/** Lists them, once to make sure that all are there and whole. */
async function ours(w: FrontEndWorld, folder: string): Promise<() => Promise<number>> {
  const file = join(w.folder, 'many.ds');
  const attributes = { NAME: 'many', TYPE: 'BACKUP_DS', DS_MAD: w.driver, TM_MAD: '-', ...w.attributes };
  writeFileSync(file, formatTemplate(Object.entries(attributes)));
  const args = ['list', file, '--base-path', folder, '--csv'];
  const program = join(w.built, 'backupctl');
  const { NODE_OPTIONS: _none, ...env } = w.env;
  const listed = (await w.run('backupctl', args, '')).stdout.split('\n');
  const whole = listed.filter((line) => /,ok,[0-9]+,[^,]*$/.test(line)).length;
  if (whole !== BACKUPS.length) throw new Error(`${whole} of ${BACKUPS.length} backups are listed as whole`);
  return () => timed({ program, args, env });
}
