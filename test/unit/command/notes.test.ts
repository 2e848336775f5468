import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import type { Command } from '../../../lib/command/command';
import { findNotes, removeNotes } from '../../../lib/command/notes';
import type { AbsolutePath } from '../../../lib/opennebula/ids';

function run<T>({ argv, parse }: Command<T>): T {
  const [program = '', ...args] = argv;
  return parse({ exitCode: 0, stdout: execFileSync(program, args, { encoding: 'utf8' }), stderr: '' });
}

t.test('notes are found, and removed with their folder', async (t) => {
  const folder = t.testdir({ 7: { abc1: '', 'not-one': '', '.abc9.tmp': '' }, 10: { abc1: '', abc2: '' }, x: '' });
  mkdirSync(join(folder, '10', 'abc3'));
  writeFileSync(join(folder, '7', 'with\nline'), '');
  const root = folder as AbsolutePath;
  t.strictSame(run(findNotes(root)).sort(), ['10/abc1', '10/abc2', '7/abc1'], 'and nothing else');
  t.strictSame(run(findNotes(`${root}/none` as AbsolutePath)), []);
  run(removeNotes(`${root}/7` as AbsolutePath, ['abc1', 'gone']));
  t.strictSame(run(findNotes(root)).sort(), ['10/abc1', '10/abc2']);
  t.ok(existsSync(join(folder, '7', 'not-one')), 'a folder with anything in it stays');
  run(removeNotes(`${root}/10` as AbsolutePath, ['abc1', 'abc2']));
  execFileSync('rmdir', [join(folder, '10', 'abc3')]);
  run(removeNotes(`${root}/10` as AbsolutePath, ['abc1']));
  t.notOk(existsSync(join(folder, '10')), 'an empty one goes');
});

t.test('what forgets very many notes does not name them all in a log', async (t) => {
  const folder = t.testdir({ 7: {} });
  const command = removeNotes(`${folder}/7` as AbsolutePath, ['abc1', 'abc2']);
  t.equal(command.purpose, 'forget 2 backups');
  run(command);
  run(command);
  t.notOk(existsSync(join(folder, '7')), 'and a folder that is gone is fine');
});
