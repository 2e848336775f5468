/**
 * Makes the scripts that oned runs: each remotes/datastore/…/NAME.ts becomes one self-contained executable NAME beside it.
 *   tsx build/bundle.ts             build all, remove those whose source is gone
 *   tsx build/bundle.ts --verify    then run each with --version, as a lone copy in an empty folder
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join, relative } from 'node:path';
import { type BuildOptions, build, type Metafile } from 'esbuild';
import shell from 'shelljs';
import { later } from './later';
import { licencesOf } from './licences';

const ROOT = join(__dirname, '..');
const SCRIPTS = join(ROOT, 'remotes', 'datastore');
const LICENCES = join(SCRIPTS, 'LICENSES.txt');
/** By this line a built script is known for what it is. */
const MARK = '// Built by build/bundle.ts from the file of the same name with .ts: change that one.';
/** A CommonJS file has no import.meta; yargs asks it for the place of its own file. */
const IMPORT_META_URL = "const importMetaUrl = require('node:url').pathToFileURL(__filename).href;";

/** The version of the suite, which is that of package.json. */
export const VERSION: string = JSON.parse(shell.cat(join(ROOT, 'package.json')).toString()).version;

/** How esbuild makes one script of sources and packages. */
export const SCRIPT_SETTINGS = {
  absWorkingDir: ROOT,
  bundle: true,
  platform: 'node',
  target: 'node20',
  format: 'cjs',
  external: ['cpu-features', '*.node'],
  define: { 'import.meta.url': 'importMetaUrl', __DRIVER_VERSION__: JSON.stringify(VERSION) },
  minifyWhitespace: true,
  minifySyntax: true,
  legalComments: 'none',
  logLevel: 'warning',
} satisfies BuildOptions;

/** Returns the first lines of a script. */
export function bannerOf(...comments: readonly string[]): { js: string } {
  return { js: ['#!/usr/bin/env node', ...comments, IMPORT_META_URL].join('\n') };
}

interface Built {
  readonly path: string;
  readonly text: string;
  readonly mode: string;
}

/** Builds every script. Returns their paths. */
export async function bundle(): Promise<string[]> {
  const started = Date.now();
  shell.config.fatal = true;
  const { scripts, metafile } = await compile(files().filter((path) => path.endsWith('.ts')));
  put([...scripts, { path: LICENCES, text: licencesOf(metafile, ROOT), mode: '644' }]);
  const paths = scripts.map(({ path }) => path);
  removeOrphans(paths);

  const mib = scripts.reduce((sum, { text }) => sum + Buffer.byteLength(text), 0) / 2 ** 20;
  const seconds = (Date.now() - started) / 1000;
  process.stdout.write(`built ${scripts.length} scripts, ${mib.toFixed(1)} MiB, in ${seconds.toFixed(1)} s\n`);
  return paths;
}

/** Returns the files of all drivers, and those beside the drivers' folders. */
function files(): string[] {
  return shell.find(SCRIPTS).filter((path) => shell.test('-f', path));
}

async function compile(sources: readonly string[]): Promise<{ scripts: Built[]; metafile: Metafile }> {
  const { plugin, metafiles } = await later(SCRIPT_SETTINGS);
  const { outputFiles, metafile } = await build({
    ...SCRIPT_SETTINGS,
    entryPoints: sources.map((path) => ({ in: path, out: relative(SCRIPTS, path).slice(0, -'.ts'.length) })),
    outdir: SCRIPTS,
    banner: bannerOf(MARK),
    plugins: [plugin],
    metafile: true,
    write: false,
  });
  const scripts = outputFiles.map(({ path, text }) => ({ path: path.slice(0, -'.js'.length), text, mode: '755' }));
  const outputs = Object.assign({}, ...[metafile, ...metafiles].map((one) => one.outputs)) as Metafile['outputs'];
  return { scripts, metafile: { ...metafile, outputs } };
}

/** Puts files in place. Somebody may be running or reading what they replace, so each is renamed, never written over. */
function put(built: readonly Built[]): void {
  const folder = mkdtempSync(join(dirname(SCRIPTS), '.bundle-'));
  try {
    built.forEach(({ path, text, mode }, index) => {
      const part = join(folder, String(index));
      shell.ShellString(text).to(part);
      shell.chmod(mode, part);
      shell.mv('-f', part, path);
    });
  } finally {
    shell.rm('-rf', folder);
  }
}

/** Removes the built scripts that no source stands behind any more. */
function removeOrphans(built: readonly string[]): void {
  for (const path of files().filter((file) => !built.includes(file))) {
    const [, mark] = shell.cat(path).toString().split('\n', 2);
    if (mark === MARK) shell.rm(path);
  }
}

/** Runs a copy of each script where there is nothing else: no node_modules, no sources, hardly an environment. */
function verify(paths: readonly string[]): void {
  const folder = mkdtempSync(join(tmpdir(), 'verify-scripts-'));
  try {
    for (const path of paths) {
      const copy = join(folder, basename(path));
      shell.cp(path, copy);
      const env = { PATH: process.env.PATH, HOME: folder };
      const run = spawnSync(copy, ['--version'], { cwd: folder, env, input: '', encoding: 'utf8', timeout: 20_000 });
      if (run.status !== 0 || !run.stdout.includes(VERSION)) {
        const name = relative(dirname(SCRIPTS), path);
        throw new Error(`${name} --version gave ${run.status ?? run.signal}: ${run.stdout}${run.stderr}`);
      }
    }
  } finally {
    shell.rm('-rf', folder);
  }
  process.stdout.write(`verified ${paths.length} scripts\n`);
}

if (require.main === module) {
  bundle()
    .then((paths) => (process.argv.includes('--verify') ? verify(paths) : undefined))
    .catch((error: unknown) => {
      process.stderr.write(`bundle: ${error instanceof Error ? error.message : String(error)}\n`);
      process.exitCode = 1;
    });
}
