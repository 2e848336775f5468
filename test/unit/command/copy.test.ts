import { execFileSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { restoreFrom } from '../../../lib/command/copy';
import type { AbsolutePath } from '../../../lib/opennebula/ids';

const BACKUP = { 'disk.0': 'old', 'disk.1': 'old', 'manifest.json': 'old', 'vm.xml': 'old' };
const NEWER = { 'disk.0': 'new', 'disk.1': 'new', 'disk.2': 'new', 'manifest.json': 'new', 'vm.xml': 'new' };

/** Runs it with a cp that says what it copies, and cannot copy one file. */
function restore(root: string, broken: string): string[] {
  const programs = join(root, 'bin');
  mkdirSync(programs, { recursive: true });
  writeFileSync(
    join(programs, 'cp'),
    `#!/bin/sh\necho "$5" >>'${root}/copied'\n[ "$5" != '${broken}' ] || exit 1\nexec /bin/cp "$@"\n`,
  );
  chmodSync(join(programs, 'cp'), 0o755);
  const at = (name: string): AbsolutePath => join(root, name) as AbsolutePath;
  const [program = '', ...args] = restoreFrom(at('from'), at('to'), 'manifest.json').argv;
  try {
    execFileSync(program, args, { env: { PATH: `${programs}:${process.env.PATH}` }, stdio: 'pipe' });
  } catch {
    // it is told by what is there
  }
  return existsSync(at('copied')) ? readFileSync(at('copied'), 'utf8').trim().split('\n') : [];
}

t.test('a folder is brought to what another one holds, its manifest last', async (t) => {
  const root = t.testdir({ from: BACKUP, to: { ...NEWER, '.restored': 'half', notes: { file: 'theirs' } } });
  const copied = restore(root, 'none');
  t.equal(copied.at(-1)?.replace('./', ''), 'manifest.json');
  t.strictSame(readdirSync(join(root, 'to')).sort(), [...Object.keys(BACKUP), 'notes'].sort());
  for (const [name, text] of Object.entries(BACKUP)) t.equal(readFileSync(join(root, 'to', name), 'utf8'), text);
  t.ok(existsSync(join(root, 'to', 'notes', 'file')), 'a folder is not ours');
});

t.test('where that is cut, no manifest says that the files are a backup', async (t) => {
  const root = t.testdir({ from: BACKUP, to: NEWER });
  restore(root, './disk.1');
  t.equal(readFileSync(join(root, 'to', 'disk.0'), 'utf8'), 'old');
  t.equal(readFileSync(join(root, 'to', 'disk.1'), 'utf8'), 'new');
  t.notOk(existsSync(join(root, 'to', 'manifest.json')));
});

t.test('what is no backup, as a snapshot that is not mounted, changes nothing', async (t) => {
  const root = t.testdir({ from: {}, to: NEWER });
  t.strictSame(restore(root, 'none'), []);
  t.strictSame(readdirSync(join(root, 'to')).sort(), Object.keys(NEWER).sort());
  for (const [name, text] of Object.entries(NEWER)) t.equal(readFileSync(join(root, 'to', name), 'utf8'), text);
});
