import { join } from 'node:path';
import type { Metafile } from 'esbuild';
import shell from 'shelljs';

const LICENCE_FILE = /^(licen[cs]e|copying|notice)([.-].*)?$/i;

/** Returns the licences of all packages of which a bundle holds any code, as one text. */
export function licencesOf(metafile: Metafile, root: string): string {
  const parts = Object.values(metafile.outputs).flatMap((output) => Object.entries(output.inputs));
  const files = parts.filter(([, { bytesInOutput }]) => bytesInOutput > 0).map(([path]) => path);
  const folders = [...new Set(files.flatMap((path) => packageFolder(path) ?? []))].sort();
  const chapters = folders.map((folder) => chapter(join(root, folder)));
  return ['The scripts in this folder contain code of the packages below.\n', ...chapters].join('\n');
}

/** Returns the folder of the package that a file belongs to; undefined for our own files. */
function packageFolder(path: string): string | undefined {
  return /^.*node_modules\/(@[^/]+\/)?[^/]+/.exec(path)?.[0];
}

/** What a package says of itself. Some old ones have a list where newer ones have one name. */
interface Manifest {
  readonly name: string;
  readonly version: string;
  readonly license?: string;
  readonly licenses?: readonly { readonly type: string }[];
  readonly author?: string | { readonly name: string };
}

function chapter(folder: string): string {
  const manifest: Manifest = JSON.parse(shell.cat(join(folder, 'package.json')).toString());
  const { name, version, license, licenses, author } = manifest;
  const kind = license ?? licenses?.map(({ type }) => type).join(' or ');
  if (kind === undefined) throw new Error(`${name} ${version} comes without a licence`);
  const files = shell.ls(folder).filter((file) => LICENCE_FILE.test(file));
  const texts = files.map((file) => shell.cat(join(folder, file)).toString().trim());
  const holder = typeof author === 'string' ? author : author?.name;
  const body = texts.length > 0 ? texts : [`The package holds no licence text. Author: ${holder ?? 'not named'}`];
  const title = `${name} ${version} (${kind})`;
  return [title, '='.repeat(title.length), '', ...body, ''].join('\n');
}
