import t from 'tap';
import { CommandLine } from '../../../lib/control/call';
import { parseCommandLine } from '../../../lib/control/command-line';
import { nearestName } from '../../../lib/control/nearest';
import type { Subcommand } from '../../../lib/control/subcommand';
import { subcommands } from '../../../lib/control/subcommands';
import { ERROR_KINDS } from '../../../lib/errors';
import { parseVmId } from '../../../lib/opennebula/ids';
import { failure } from '../../helpers/failure';

const sample: Subcommand = {
  name: 'sample',
  summary: 'An example.',
  positionals: [
    { name: 'ONE', describe: 'the first' },
    { name: 'MORE', describe: 'others', many: true, optional: true },
  ],
  options: [
    { name: 'vm', value: 'N', describe: 'an id' },
    { name: 'disk', value: 'D', describe: 'ids', many: true },
    { name: 'json', describe: 'a flag' },
  ],
  rest: 'words for somebody else',
  examples: [{ line: 'sample x', meaning: 'nothing' }],
  run: async () => 0,
};

async function call(...words: string[]): Promise<CommandLine> {
  const line = await parseCommandLine([sample, ...subcommands], words);
  if (line instanceof CommandLine) return line;
  throw new Error('text, not a call');
}

async function text(...words: string[]): Promise<string> {
  const line = await parseCommandLine([sample, ...subcommands], words);
  if (line instanceof CommandLine) throw new Error('a call, not text');
  return line.text;
}

t.test('words, options anywhere, and what follows --', async (t) => {
  const line = await call(
    'sample',
    '--vm',
    '0012',
    'a',
    '--disk=1',
    'b',
    '--disk',
    '2',
    '--json',
    'c',
    '--',
    '--vm',
    '-x',
  );
  t.strictSame([line.word('ONE'), line.words('MORE')], ['a', ['b', 'c']]);
  t.strictSame(
    [line.text('vm'), line.texts('disk'), line.flag('json'), line.flag('verbose')],
    ['0012', ['1', '2'], true, false],
  );
  t.strictSame(line.rest, ['--vm', '-x']);
  t.throws(() => line.optional('vm', parseVmId), failure('usage', /--vm is "0012"/));
  t.equal((await call('sample', 'a', '--vm', '12')).optional('vm', parseVmId), 12);
  t.throws(() => line.required('id', parseVmId, 'what it is for'), failure('usage', /--id is missing: what it is for/));
  t.equal((await call('sample', '1e3')).word('ONE'), '1e3', 'a word stays what it is');
  t.strictSame(
    (await call('lint', '--', '--odd')).words('FILE'),
    ['--odd'],
    'without words of its own, -- ends the options',
  );
});

t.test('a wrong call says what was probably meant', async (t) => {
  await t.rejects(call(), failure('usage', /no subcommand is given\. See: backupctl --help/));
  await t.rejects(call('lnit'), failure('usage', /Did you mean lint\?/));
  await t.rejects(call('qqq'), failure('usage', /They are: sample, lint,/));
  await t.rejects(call('lint'), failure('usage', /0 words given, expected at least 1 \(FILE\)/));
  await t.rejects(call('register', 'a', 'b'), failure('usage', /2 words given, expected 1/));
  await t.rejects(call('lint', 'x', '--jsno'), failure('usage', /no option --jsno\. Did you mean --json\?/));
  await t.rejects(call('lint', 'x', '--id', '3'), failure('usage', /no option --id/));
  await t.rejects(call('sample', 'x', '--vm'), failure('usage', /vm/));
  await t.rejects(call('sample', 'x', '--vm', '1', '--vm', '2'), failure('usage', /--vm is given more than once/));
  await t.rejects(call('sample', 'x', '--vm='), failure('usage', /--vm has an empty value/));
  await t.rejects(call('toString'), failure('usage', /no subcommand/));
});

t.test('the nearest name', async (t) => {
  const names = ['RESTIC_CONNECTIONS', 'RESTIC_NICE', 'NAME', 'TYPE'];
  t.equal(nearestName('RESTIC_CONECTIONS', names), 'RESTIC_CONNECTIONS');
  t.equal(nearestName('restic_ncie', names), 'RESTIC_NICE', "two letters in each other's place are one mistake");
  t.equal(nearestName('NMAE', names), 'NAME');
  t.equal(nearestName('NOTE', names), undefined, 'a short word is not near to every other');
  t.equal(nearestName('', []), undefined);
});

t.test('each help fits 80 columns, and each of its examples is a call', async (t) => {
  for (const { name, options, positionals, examples } of subcommands) {
    const help = await text(name, '--help');
    t.equal(help, await text('help', name));
    t.ok(
      help.split('\n').every((line) => line.length <= 80),
      name,
    );
    t.match(help, /^ {2}[\x20-\x7e\n]*Exit codes:\n {2}0 {2}done/m);
    for (const option of options) t.match(help, `--${option.name}`);
    for (const one of positionals) t.match(help, one.name);
    for (const { line, meaning } of examples) {
      const words = line.replace(/ [>|].*$/, '').match(/"[^"]*"|'[^']*'|\S+/g) ?? [];
      t.equal((await call(...words)).subcommand.name, name, `${line}: ${meaning}`);
      t.ok(help.includes(line), line);
    }
  }
});

t.test('--help names all subcommands and exit codes; --version', async (t) => {
  const help = await text('--help');
  for (const words of [['-h'], ['help'], ['help', '-h']]) t.equal(await text(...words), help, words.join(' '));
  t.equal(await text('list', '-h'), await text('list', '--help'));
  t.ok(help.split('\n').every((line) => line.length <= 80 && /^[\x20-\x7e]*$/.test(line)));
  for (const { name } of subcommands) t.match(help, new RegExp(`^  ${name} `, 'm'));
  for (const { exitCode } of Object.values(ERROR_KINDS)) t.match(help, new RegExp(`^  ${exitCode} `, 'm'));
  t.match(await text('--version'), /^backupctl /);
  t.equal(await text('help'), help);
});
