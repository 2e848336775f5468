import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { bashCompletion } from '../../../lib/control/completion-bash';
import { zshCompletion } from '../../../lib/control/completion-zsh';
import { optionsOf } from '../../../lib/control/subcommand';
import { subcommands } from '../../../lib/control/subcommands';

const folder = t.testdir({ 'one.ds': '', 'two files.ds': '', folder: {} });
const script = join(folder, 'completion.bash');
writeFileSync(script, bashCompletion(subcommands));

/** What bash would offer for the last word. */
function offered(...words: string[]): string[] {
  const program = `source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _backupctl; printf '%s\\n' "\${COMPREPLY[@]}"`;
  const run = spawnSync('bash', ['-c', program, 'bash', script, 'backupctl', ...words], {
    cwd: folder,
    encoding: 'utf8',
  });
  if (run.status !== 0 || run.stderr !== '') throw new Error(run.stderr);
  return run.stdout
    .split('\n')
    .filter((line) => line !== '')
    .sort();
}

t.test('bash: subcommands, options, words of a place, files and folders', async (t) => {
  for (const { name } of subcommands) t.ok(offered('').includes(name), name);
  t.strictSame(offered('regi'), ['register']);
  const lint = subcommands.find(({ name }) => name === 'lint');
  t.strictSame(
    offered('lint', '--'),
    optionsOf(lint as (typeof subcommands)[number])
      .map(({ name }) => `--${name}`)
      .sort(),
  );
  t.strictSame(offered('lint', 'o'), ['one.ds']);
  t.strictSame(offered('lint', 'one.ds', 't'), ['two files.ds'], 'many files, and blanks in them');
  t.strictSame(offered('run', 'back'), ['backup', 'backup_cancel']);
  t.strictSame(offered('run', 'ls', 'o'), ['one.ds']);
  t.strictSame(offered('run', '--vm', '7', 'ls', 'o'), ['one.ds'], 'options and their values take no place');
  t.strictSame(offered('run', 'ls', 'one.ds', '--base-path', ''), ['folder']);
  t.strictSame(offered('run', 'ls', '--vm', ''), [], 'a value that nobody can know');
  t.strictSame(offered('register', 'one.ds', '--cl'), ['--cluster']);
  t.strictSame(offered('completion', ''), ['bash', 'zsh']);
  t.strictSame(offered('help', 'lin'), ['lint']);
  t.strictSame(offered('nonsense', ''), []);
});

t.test('zsh: every subcommand and option, nothing that breaks out of its quotes', async (t) => {
  const text = zshCompletion(subcommands);
  t.match(text, /^#compdef backupctl\n/);
  for (const subcommand of subcommands) {
    const [line = ''] = text.split('\n').filter((one) => one.startsWith(`    ${subcommand.name}) _arguments`));
    for (const { name, value } of optionsOf(subcommand))
      t.match(line, value === undefined ? `--${name}[` : `--${name}`);
    t.equal(line.replaceAll(`'\\''`, '').split("'").length % 2, 1, `${subcommand.name}: quotes in pairs`);
  }
});
