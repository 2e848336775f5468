import { spawnSync } from 'node:child_process';
import { build, type Metafile, type Plugin } from 'esbuild';

/**
 * Packages that a script needs only at times, and what shares one copy. Node parses a script as a whole before it runs
 * it; 700 kB of SSH and yargs cost more than most else that `monitor --help` does. So each group is part of the script
 * as a string, which is hardly looked at, and is compiled by the `await import()` that first asks for it.
 */
const GROUPS: Readonly<Record<string, readonly string[]>> = {
  yargs: ['yargs'],
  ssh: ['ssh2', 'ssh2-sftp-client'],
};

/**
 * What yargs lays its help out with, for text of ASCII only, which ours is: the packages of these names know all of
 * Unicode, and compiling their patterns takes longer than the rest of the help.
 */
const ASCII_ONLY: Readonly<Record<string, string>> = {
  'string-width': 'export default (text) => text.length;',
  'strip-ansi': 'export default (text) => text;',
  'wrap-ansi': `
    const fold = (line, width) => line.split(' ').reduce((lines, word) => {
      const last = lines[lines.length - 1];
      if (last === undefined || last.length + 1 + word.length > width) lines.push(word);
      else lines[lines.length - 1] = last + ' ' + word;
      return lines;
    }, []).join('\\n');
    export default (text, width) => text.split('\\n').map((line) => fold(line, width)).join('\\n');`,
};

const LATER = 'later';
type Settings = NonNullable<Parameters<typeof build>[0]>;

/** Returns the plugin for the bundle, and what the groups are made of. `settings` are those of the bundle. */
export async function later(settings: Settings): Promise<{ plugin: Plugin; metafiles: readonly Metafile[] }> {
  const metafiles: Metafile[] = [];
  const texts = new Map<string, string>();
  for (const [group, packages] of Object.entries(GROUPS)) {
    const names = packages.map((name, index) => `import part${index} from ${JSON.stringify(name)};`);
    const list = packages.map((name, index) => `${JSON.stringify(name)}: part${index}`);
    const contents = `${names.join('\n')}\nmodule.exports = { ${list.join(', ')} };`;
    const { outputFiles, metafile } = await build({
      ...settings,
      stdin: { contents, resolveDir: settings.absWorkingDir ?? '.', loader: 'js' },
      outfile: `${group}.js`,
      plugins: [asciiOnly],
      metafile: true,
      write: false,
    });
    metafiles.push(metafile);
    texts.set(group, outputFiles[0]?.text ?? '');
  }
  return { plugin: importLater(texts), metafiles };
}

const PARAMETERS = ['module', 'exports', 'require', '__filename', '__dirname', 'importMetaUrl'];

/** Prints the form below of the source on stdin. */
const PRINT_CODE_CACHE = `
const script = new (require('node:vm').Script)(require('node:fs').readFileSync(0, 'utf8'));
const made = { exports: {} };
script.runInThisContext()(made, made.exports, require, '/script', '/', 'file:///script');
process.stdout.write(script.createCachedData().toString('base64'));`;

/**
 * V8's own form of a source after it has run once, in base64: with it, a script skips compiling what is needed to load.
 * V8 checks that it fits (version and flags), and compiles as ever where it does not (nodejs.org, vm: cachedData).
 * It holds hashes; with a seed of our own these, and so the scripts, are the same in every build.
 */
function codeCacheOf(source: string): string {
  const { NODE_OPTIONS: _none, ...env } = process.env;
  const options = { input: source, env, cwd: __dirname, encoding: 'utf8', maxBuffer: 2 ** 28 } as const;
  const { status, stdout, stderr } = spawnSync(process.execPath, ['--random-seed=1', '-e', PRINT_CODE_CACHE], options);
  if (status !== 0) throw new Error(`a package does not load: ${stderr.trim()}`);
  return stdout;
}

function importLater(texts: ReadonlyMap<string, string>): Plugin {
  const groupOf = (name: string): string | undefined =>
    Object.keys(GROUPS).find((group) => GROUPS[group]?.includes(name));
  return {
    name: LATER,
    setup({ onResolve, onLoad }) {
      onResolve({ filter: /^[a-z0-9-]+$/ }, ({ path, kind }) =>
        kind === 'dynamic-import' && groupOf(path) !== undefined ? { path, namespace: LATER } : undefined,
      );
      onResolve({ filter: /^group:/ }, ({ path }) => ({ path, namespace: LATER }));
      onLoad({ filter: /^group:/, namespace: LATER }, ({ path }) => {
        const group = path.slice('group:'.length);
        const source = `(function (${PARAMETERS.join(', ')}) {${texts.get(group)}\n})`;
        return {
          contents: `
            import { Script } from 'node:vm';
            const made = { exports: {} };
            const cachedData = Buffer.from(${JSON.stringify(codeCacheOf(source))}, 'base64');
            const script = new Script(${JSON.stringify(source)}, { filename: __filename + ':${group}', cachedData });
            script.runInThisContext()(made, made.exports, require, __filename, __dirname, importMetaUrl);
            export default made.exports;`,
        };
      });
      onLoad({ filter: /^[^:]+$/, namespace: LATER }, ({ path }) => ({
        contents: `import group from 'group:${groupOf(path)}'; export default group[${JSON.stringify(path)}];`,
      }));
    },
  };
}

const asciiOnly: Plugin = {
  name: 'ascii-only',
  setup({ onResolve, onLoad }) {
    const namespace = 'ascii-only';
    onResolve({ filter: /^(string-width|strip-ansi|wrap-ansi)$/ }, ({ path }) => ({ path, namespace }));
    onLoad({ filter: /.*/, namespace }, ({ path }) => ({ contents: ASCII_ONLY[path] ?? '' }));
  },
};
