import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Merges a full qcow2 and its increments into one: by copying, unlike lib, which commits. */
export function mergeDisks(parts: readonly Buffer[]): Buffer {
  const [first] = parts;
  if (first !== undefined && parts.length === 1) return first;
  const folder = mkdtempSync(join(tmpdir(), 'one-backup-memory-'));
  try {
    const files = parts.map((part, index) => {
      const file = join(folder, String(index));
      writeFileSync(file, part);
      const below = index === 0 ? ['-b', ''] : ['-F', 'qcow2', '-b', join(folder, String(index - 1))];
      execFileSync('qemu-img', ['rebase', '-u', '-f', 'qcow2', ...below, file], { stdio: 'pipe' });
      return file;
    });
    const merged = join(folder, 'merged');
    execFileSync('qemu-img', ['convert', '-O', 'qcow2', files[files.length - 1] ?? '', merged], { stdio: 'pipe' });
    return readFileSync(merged);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
