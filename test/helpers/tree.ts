import { lstatSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

/**
 * Everything below some folders, a line each: whatever was written, renamed or removed in the meantime shows, even if
 * it was put back (ctime). Logs are left out: sshd's grow with every connection, which are counted elsewhere.
 */
export function treeOf(...folders: readonly string[]): string[] {
  return folders.flatMap((folder) => [describe(folder), ...below(folder)]);
}

/** Like treeOf, but only what is there and how large it is: a lock that came and went does not show. */
export function contentOf(...folders: readonly string[]): string[] {
  return treeOf(...folders).map((line) => line.replace(/ ctime .*$/, ''));
}

function below(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true })
    .filter(({ name }) => !name.endsWith('.log'))
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .flatMap((entry) => {
      const path = join(folder, entry.name);
      return entry.isDirectory() ? [describe(path), ...below(path)] : [describe(path)];
    });
}

function describe(path: string): string {
  const { mode, size, ctimeMs } = lstatSync(path);
  const isFolder = (mode & 0o170000) === 0o040000;
  return `${path} ${mode.toString(8)} ${isFolder ? '-' : size} ctime ${ctimeMs}`;
}
