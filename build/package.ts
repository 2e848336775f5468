/**
 * Makes the packages in dist/: a .tar.gz that holds the built drivers and an installer, and a .deb that runs it.
 *   tsx build/package.ts
 * The same commit gives the same bytes: times are the commit's, or SOURCE_DATE_EPOCH.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { build } from 'esbuild';
import shell from 'shelljs';
import { bannerOf, bundle, SCRIPT_SETTINGS, VERSION } from './bundle';
import { newFiles } from './install-plan';
import { licencesOf } from './licences';
import { CONTROL_SCRIPTS, controlOf, PACKAGE, SHARE } from './package-control';

const ROOT = join(__dirname, '..');
const BUILT = join(ROOT, 'remotes', 'datastore');

/** Makes the packages of the built drivers in a folder, which is made if need be. Returns their paths. */
export async function makePackages(folder: string): Promise<string[]> {
  shell.config.fatal = true;
  const seconds = timeOf();
  const stage = mkdtempSync(join(tmpdir(), 'backup-drivers-package-'));
  try {
    const name = `${PACKAGE}-${VERSION}`;
    await layOut(join(stage, name));
    shell.mkdir('-p', folder);
    const tarball = join(folder, `${name}.tar.gz`);
    run('sh', ['-ec', TAR_GZ, 'sh', stage, name, seconds, tarball]);
    const deb = join(folder, `${PACKAGE}_${VERSION}_all.deb`);
    makeDeb(join(stage, name), join(stage, 'deb'), deb, seconds);
    return [tarball, deb];
  } finally {
    shell.rm('-rf', stage);
  }
}

/** Returns the time that all files get, in seconds. Where there is no git, package.json has to stand for the commit. */
function timeOf(): string {
  const { SOURCE_DATE_EPOCH: told } = process.env;
  if (told) return told;
  const { status, stdout } = spawnSync('git', ['-C', ROOT, 'log', '-1', '--format=%ct'], { encoding: 'utf8' });
  return status === 0 ? stdout.trim() : String(Math.floor(statSync(join(ROOT, 'package.json')).mtimeMs / 1000));
}

/** What is left of the machine and the moment in an archive: nothing. */
const TAR_GZ = `
tar -C "$1" --sort=name --mtime="@$3" --owner=root:0 --group=root:0 --mode=u=rwX,go=rX --format=ustar -cf "$1/tar" "$2"
gzip --no-name < "$1/tar" > "$4"`;

/** Lays out what an administrator unpacks: the built drivers, and an installer that needs Node and nothing else. */
export async function layOut(folder: string): Promise<void> {
  for (const { source, mode } of newFiles(BUILT)) {
    const target = join(folder, 'datastore', relative(BUILT, source));
    shell.mkdir('-p', dirname(target));
    shell.cp(source, target);
    shell.chmod(mode.toString(8), target);
  }
  const { metafile } = await build({
    ...SCRIPT_SETTINGS,
    entryPoints: [join(__dirname, 'install-packaged.ts')],
    outfile: join(folder, 'install'),
    banner: bannerOf(),
    metafile: true,
  });
  shell.chmod('755', join(folder, 'install'));
  writeFileSync(join(folder, 'LICENSES.txt'), licencesOf(metafile, ROOT));
  shell.cp([join(ROOT, 'README.md'), join(ROOT, 'LICENSE')], folder);
}

function makeDeb(tree: string, stage: string, deb: string, seconds: string): void {
  if (shell.which('dpkg-deb') === null) throw new Error('dpkg-deb is missing, so only the .tar.gz was made');
  const share = join(stage, SHARE);
  const doc = join(stage, 'usr/share/doc', PACKAGE);
  shell.mkdir('-p', [share, doc, join(stage, 'DEBIAN'), join(stage, 'var/lib/one')]);
  shell.cp('-R', [join(tree, 'install'), join(tree, 'datastore')], share);
  shell.cp(join(tree, 'README.md'), doc);
  shell.cat(join(tree, 'LICENSE'), join(tree, 'LICENSES.txt')).to(join(doc, 'copyright'));
  const sizes = shell
    .find(stage)
    .map((path) => statSync(path))
    .map((stat) => (stat.isFile() ? stat.size : 0));
  const kib = Math.ceil(sizes.reduce((sum, size) => sum + size, 0) / 1024);
  writeFileSync(join(stage, 'DEBIAN/control'), controlOf(VERSION, kib));
  for (const [name, text] of Object.entries(CONTROL_SCRIPTS)) {
    writeFileSync(join(stage, 'DEBIAN', name), text, { mode: 0o755 });
  }
  run('chmod', ['-R', 'u=rwX,go=rX', stage]); // whatever the umask is
  run('find', [stage, '-exec', 'touch', '--no-dereference', `--date=@${seconds}`, '{}', '+']);
  // One thread: with more, xz cuts the data elsewhere. The scripts are alike, which its quick third level sees as well.
  const env = { SOURCE_DATE_EPOCH: seconds, DPKG_DEB_THREADS_MAX: '1' };
  run('dpkg-deb', ['--root-owner-group', '-Zxz', '-z3', '--build', stage, deb], env);
}

function run(program: string, args: readonly string[], env: NodeJS.ProcessEnv = {}): string {
  const { error, status, stdout, stderr } = spawnSync(program, args, {
    encoding: 'utf8',
    env: { ...process.env, ...env },
  });
  if (status !== 0) throw new Error(`${program} failed: ${(error?.message ?? stderr).trim()}`);
  return stdout;
}

if (require.main === module) {
  bundle()
    .then(() => makePackages(join(ROOT, 'dist')))
    .then((paths) => process.stdout.write(paths.map((path) => `${relative(process.cwd(), path)}\n`).join('')))
    .catch((error: unknown) => {
      process.stderr.write(`package: ${error instanceof Error ? error.message : String(error)}\n`);
      process.exitCode = 1;
    });
}
