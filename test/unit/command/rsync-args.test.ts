import { execFileSync } from 'node:child_process';
import t from 'tap';
import { parseRsyncArgs } from '../../../lib/command/rsync-args';
import { failure } from '../../helpers/failure';

const parse = (text: string): string[] => parseRsyncArgs(text, 'RSYNC_ARGS');

/** What a shell makes of the text, without expanding anything that is quoted. */
function asShell(text: string): string[] {
  const printed = execFileSync('sh', ['-c', `printf '%s\\0' ${text}`], { encoding: 'utf8' });
  return printed.split('\0').slice(0, -1);
}

t.test('words are split and unquoted as a shell does', async (t) => {
  const texts = [
    '-aS',
    '  -a   -S\t--sparse  ',
    "--out-format='%n  of %l'",
    '--out-format="%n  of %l"',
    '--out-format=a\\ b',
    `--out-format="it's"`,
    `--out-format='"'`,
    '--out-format="\\"\\\\"',
    '--out-format="\\a"',
    "--out-format='\\'",
    '--out-format="\\$x\\`y"',
    `--out-format='$HOME \`id\` $(id) ; | & < > * ? [a] {a,b} # ! ~'`,
    '--out-format=\\$HOME\\;id',
    `"-a" '-S' --b"wlim"it'='5`,
    "--out-format=''",
    `--out-format=a""b''c`,
    '--out-format="a\nb"',
  ];
  for (const text of texts) t.strictSame(parse(text), asShell(text), JSON.stringify(text));
  for (const text of ['', ' ', '\n']) t.strictSame(parse(text), [], 'nothing');
  t.strictSame(parse('\n-a\n-S\n'), ['-a', '-S'], 'a line break is a blank');
});

t.test('a value may be a word of its own', async (t) => {
  t.strictSame(parse('--bwlimit 5m -a --timeout "30"'), ['--bwlimit=5m', '-a', '--timeout=30']);
  t.strictSame(parse('--out-format --rsh=sh'), ['--out-format=--rsh=sh'], 'which is then no option');
  t.throws(() => parse('-a --bwlimit'), failure('config', /^RSYNC_ARGS: --bwlimit has no value/));
});

t.test('what says how a file is transferred is allowed', async (t) => {
  const allowed = `-a -aS -aHAX -rlptgoD -z -W -c -x -i -vv -h -P -4 -6 --archive --sparse --no-sparse --no-p --no-o
    --no-perms --no-owner --whole-file --no-whole-file --checksum --compress --compress-choice=zstd --zl=3 --bwlimit=1000
    --numeric-ids --chmod=F600 --chown=a:b --fsync --preallocate --info=stats2 --stats --timeout=60 --outbuf=L`;
  const words = allowed.split(/\s+/);
  t.strictSame(parse(allowed), words);
});

/** Each by which a backup would run a program, change sides, write or read another file, or not be whole. */
const REFUSED = `-e --rsh -M --remote-option --rsync-path --daemon --config --server --sender --remove-source-files --remove-sent-files
  --files-from -0 --from0 --log-file --log-file-format --write-batch --only-write-batch --read-batch --password-file --early-input
  -T --temp-dir --partial-dir --link-dest --copy-dest --compare-dest -b --backup --backup-dir --suffix --copy-as --address --port
  --sockopts --blocking-io --delete --del --delete-before --delete-excluded --delete-missing-args --force --super --fake-super
  --exclude --exclude-from --include --include-from -f --filter -F -C --cvs-exclude --max-size --min-size --max-delete
  -n --dry-run --list-only --existing --ignore-existing --ignore-non-existing -u --update --append --append-verify
  -R --relative --no-implied-dirs --mkpath -d -y --fuzzy --delay-updates --stop-after --stop-at --time-limit --iconv -s -B -@ -V --version
  --help --ignore-errors --ignore-missing-args --trust-sender --old-args --old-dirs --dparam --qsort --detach --no-detach`;

t.test('what does more is refused by its name', async (t) => {
  for (const option of REFUSED.split(/\s+/)) {
    for (const text of [option, `-a ${option}`, `${option}=x`, `'${option}' x`, `${option}\\ x`]) {
      const isShort = /^-[^-]/.test(option);
      const named = isShort
        ? /^RSYNC_ARGS: .*(option -.+ is not allowed)/
        : new RegExp(`^RSYNC_ARGS: .*${option}.* is not allowed`);
      t.throws(() => parse(text), failure('config', named), text);
    }
  }
});

t.test('a cluster of letters does not hide one, nor an abbreviation a name', async (t) => {
  for (const [text, named] of [
    ['-aSe', '-e'],
    ['-aeS', '-e'],
    ['-ae', '-e'],
    ["-ae'sh -c id'", '-aesh -c id'],
    ['-aesh', '-e'],
    ['-aM--fake-super', '-aM--fake-super'],
    ['-aT/tmp', '-aT/tmp'],
    ['-aSn', '-n'],
    ['-auS', '-u'],
    ['-avb', '-b'],
    ['--rs=sh', '--rs'],
    ['--rsy=x', '--rsy'],
    ['--remove-source', '--remove-source'],
    ['--no-rsh', '--no-rsh'],
    ['--no-e', '--no-e'],
    ['--bwlimit-x=5', '--bwlimit-x'],
    ['--archive=x', '--archive'],
    ['--Archive', '--Archive'],
    ['---a', '---a'],
    ['-', '-'],
    ['--', '--'],
  ] as const) {
    t.throws(() => parse(text), failure('config', new RegExp(`the option ${named} is not allowed in a backup`)), text);
  }
});

t.test('no file, no host and no daemon can be named', async (t) => {
  for (const text of ['/etc/passwd', 'host:/x', 'rsync://host/x', 'host::module', '-a x', '.', "''", '-a ""', '=']) {
    t.throws(() => parse(text), failure('config', /is no option; write values as --option=value/), text);
  }
});

t.test('what a shell would act on is refused, for none does', async (t) => {
  for (const character of ['$', '`', ';', '|', '&', '<', '>', '(', ')', '*', '?', '[', ']', '{', '}', '!', '#', '~']) {
    for (const text of [`-a ${character}`, `-a${character}`, `--out-format=a${character}b`, `-a ${character}HOME`]) {
      t.throws(() => parse(text), failure('config', /^RSYNC_ARGS: the character . has no meaning here/), text);
    }
  }
  for (const text of ["-a 'b", '-a "b', '-a b\\', '--out-format="$HOME"', '--out-format="`id`"', '"', "'"]) {
    t.throws(
      () => parse(text),
      failure('config', /^RSYNC_ARGS: a .* is not closed, or holds what a shell expands/),
      text,
    );
  }
});
