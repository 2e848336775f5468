import { execFileSync } from 'node:child_process';
import { closeSync, mkdirSync, openSync, statSync, symlinkSync, truncateSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';

const MIB = 2 ** 20;
/** Names that a careless program takes for options, commands or several names. */
export const STRANGE = [
  '-rf',
  ':',
  "it's \\ odd  name",
  "a'b \\' c",
  'back\\',
  'back\\ slash',
  'new\nline',
  '<!id',
  'win:x',
];
/** Files that are holes: one is larger than what has come of it when it is interrupted. */
export const HOLE_BYTES = 40 * MIB;
const LARGE_BYTES = 8192 * MIB;

/** Writes a folder that looks like the root of an operating system; the stage tells one backup from another. */
export function writeRoot(folder: string, stage: number): void {
  for (const name of ['bin', 'etc', 'usr/bin', 'var/lib/dpkg', 'home/ann/deep/er', 'lib', 'dev'])
    mkdirSync(join(folder, name), { recursive: true });
  const ann = (name: string): string => join(folder, 'home', 'ann', name);
  writeFileSync(join(folder, 'etc', 'os-release'), 'ID=debian\nVERSION_ID="12"\nNAME="Debian GNU/Linux"\n');
  writeFileSync(join(folder, 'etc', 'fstab'), '/dev/sda1 / ext4 defaults 0 1\n/dev/sdz1 /srv/gone ext4 defaults 0 2\n');
  for (const name of ['etc/debian_version', 'var/lib/dpkg/status', 'bin/ls', 'usr/bin/ls'])
    writeFileSync(join(folder, name), '12.1\n');
  writeFileSync(join(folder, 'etc', 'hosts'), `stage ${stage}\n`);
  for (const name of STRANGE) writeFileSync(ann(name), name);
  writeFileSync(join(folder, 'new\nline'), '');
  writeFileSync(Buffer.from(ann('\xe9'), 'latin1'), 'its name is not UTF-8');
  writeFileSync(ann('program'), Buffer.alloc(300_000, stage), { mode: 0o755 });
  writeFileSync(ann('deep/er/file'), 'deep');
  for (const [path, size] of [
    [ann('hole'), HOLE_BYTES],
    [join(folder, 'large'), LARGE_BYTES],
  ] as const) {
    writeFileSync(path, 'begins');
    truncateSync(path, size);
  }
  execFileSync('mkfifo', [ann('pipe')]);
  execFileSync('chmod', ['4755', ann('program')]);
  symlinkSync('/etc/hosts', ann('link'));
  symlinkSync('../../..', ann('deep/up'));
  symlinkSync('/home', join(folder, 'house'));
}

/** Makes a raw disk with an MBR and a partition of 24 MiB for each folder, with a filesystem that holds it. */
export function makeDisk(path: string, folders: readonly string[]): void {
  writeFileSync(path, '');
  truncateSync(path, (1 + 24 * folders.length) * MIB);
  const disk = openSync(path, 'r+');
  for (const [index, folder] of folders.entries()) {
    const start = (1 + 24 * index) * MIB;
    const entry = Buffer.alloc(16);
    entry[4] = 0x83;
    entry.writeUInt32LE(start / 512, 8);
    entry.writeUInt32LE((24 * MIB) / 512, 12);
    writeSync(disk, entry, 0, 16, 446 + index * 16);
    const size = ['-E', `offset=${start}`, path, `${24 * 1024}k`];
    execFileSync('mke2fs', ['-q', '-F', '-t', 'ext4', '-d', folder, ...size], { stdio: 'pipe' });
  }
  writeSync(disk, Buffer.from([0x55, 0xaa]), 0, 2, 510);
  closeSync(disk);
}

/** Lays a disk as the transfer driver does: as a full backup, or with what differs from the one before. */
export function layDisk(raw: string, before: string | undefined, file: string): void {
  if (before === undefined) {
    execFileSync('qemu-img', ['convert', '-f', 'raw', '-O', 'qcow2', raw, file]);
    return;
  }
  if (statSync(raw).size !== statSync(before).size) throw new Error('the disks differ in size');
  execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', '-F', 'raw', '-b', raw, file]);
  execFileSync('qemu-img', ['rebase', '-q', '-F', 'raw', '-b', before, file]);
  execFileSync('qemu-img', ['rebase', '-u', '-f', 'qcow2', '-F', 'qcow2', '-b', '/nowhere/at-all', file]);
}
