import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, realpathSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { type InstallerRun, runPlain } from './installer';

/** What the package's own scripts and the drivers run. dpkg itself runs outside. */
const PROGRAMS = ['sh', 'env', 'node', 'cp', 'touch', 'ssh', 'ssh-keygen'];
/** With which apt runs dpkg (apt.conf(5), DPkg::Path). */
const APT_PATH = '/usr/sbin:/usr/bin:/sbin:/bin';
const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** Says that openssh-client is installed, whose programs are. */
const STATUS = `Package: openssh-client
Status: install ok installed
Version: 1:9
Architecture: all
Maintainer: nobody
Description: the programs of the machine that runs the test
`;

/** A system that has nothing but a shell, node, a few programs and dpkg's records. */
export interface BareRoot {
  readonly root: string;
  /** Runs dpkg on it, as apt does. */
  dpkg(...words: readonly string[]): InstallerRun;
  /** Runs a program in it. */
  run(words: readonly string[], stdin?: string): InstallerRun;
}

/** Makes a bare system in a folder, or says why that cannot be: only root changes roots, or a user in a namespace of his own. */
export function makeBareRoot(root: string): BareRoot | string {
  const asRoot = process.getuid?.() === 0 ? [] : ['unshare', '--map-root-user', '--'];
  const canChroot = runPlain([...asRoot, 'chroot', '/', 'true']);
  if (canChroot.code !== 0) return `this user cannot change roots: ${canChroot.stderr.trim()}`;
  for (const folder of [
    'usr/bin',
    'usr/lib',
    'usr/lib64',
    'etc',
    'dev',
    'tmp',
    'root/.ssh',
    'usr/share/doc',
    'var/lib/dpkg/info',
    'var/lib/dpkg/updates',
  ])
    mkdirSync(join(root, folder), { recursive: true });
  for (const name of ['bin', 'lib', 'lib64']) symlinkSync(`usr/${name}`, join(root, name));
  for (const name of PROGRAMS) copyProgram(root, name);
  writeFileSync(join(root, 'var/lib/dpkg/status'), STATUS);
  writeFileSync(join(root, 'var/lib/dpkg/info/openssh-client.list'), '');
  writeFileSync(join(root, 'etc/passwd'), 'root:x:0:0:root:/root:/bin/sh\n');
  writeFileSync(join(root, 'dev/null'), '');
  writeFileSync(join(root, 'usr/share/doc/base'), 'dpkg removes folders that nothing else is in\n');
  return {
    root,
    dpkg: (...words) =>
      runPlain([...asRoot, 'dpkg', `--root=${root}`, '--log=/dev/null', ...words], [`PATH=${APT_PATH}`]),
    run: (words, input = '') => {
      const env = ['-i', `PATH=${PATH}`, 'HOME=/root', 'LANG=C'];
      const command = [...asRoot, 'chroot', root, '/usr/bin/env', ...env, ...words];
      const { status, stdout, stderr } = spawnSync('env', command, { input, encoding: 'utf8' });
      return { code: status, stdout, stderr };
    },
  };
}

/** node is where somebody puts it by hand, outside of apt's PATH. */
export const folderOf = (name: string): string => (name === 'node' ? 'usr/local/bin' : 'usr/bin');

/** Copies a program and the libraries that it loads, each to where it is here. */
function copyProgram(root: string, name: string): void {
  const program = spawnSync('sh', ['-c', `command -v ${name}`], { encoding: 'utf8', env: { PATH } }).stdout.trim();
  const libraries = spawnSync('ldd', [realpathSync(program)], { encoding: 'utf8' }).stdout.matchAll(/\/\S+/g);
  copy(realpathSync(program), join(root, folderOf(name), name));
  for (const [library] of libraries) if (!library.endsWith(':')) copy(library, join(root, library));
}

function copy(from: string, to: string): void {
  mkdirSync(dirname(to), { recursive: true });
  cpSync(realpathSync(from), to);
}
