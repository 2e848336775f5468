import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { parseOnedConf } from '../../lib/opennebula/oned-conf';
import { COMPLETE_CONF, type InstallerWorld, startInstallerWorld } from '../helpers/installer';

let world: InstallerWorld;
let varDir: string;
t.before(async () => {
  world = await startInstallerWorld(['restic/monitor', 'rsync/monitor']);
  mkdirSync(join(world.source, 'zfs'), { recursive: true });
  writeFileSync(join(world.source, 'zfs/monitor'), readFileSync(join(world.source, 'rsync/monitor')), { mode: 0o755 });
  varDir = world.newVar();
});
t.teardown(() => world.stop());

/** What the installer says of an oned.conf, without what comes after it. */
function adviceOn(text: string, name = 'oned.conf'): string {
  const path = join(world.folder, name);
  writeFileSync(path, text);
  const { code, stdout, stderr } = world.install(varDir, ['--dry-run', '--conf', path]);
  if (code !== 0) throw new Error(stderr);
  if (readFileSync(path, 'utf8') !== text) throw new Error('oned.conf was changed');
  const from = stdout.search(/^(WARN: (oned|oned\.conf) cannot|.*oned\.conf (needs|has|is))/m);
  return stdout.slice(from, stdout.indexOf('\nThen run:')).trim().replaceAll(world.folder, '');
}

/** As OpenNebula 7 ships it, in its shape; the text is ours. */
const SHIPPED = `# OpenNebula
LOG = [
  SYSTEM      = "file",
  DEBUG_LEVEL = 3
]
#MANAGER_TIMER = 15
SCRIPTS_REMOTE_DIR=/var/tmp/one
# DB = [ BACKEND = "mysql",
#        SERVER  = "localhost" ]
VM_MAD = [
    NAME = "lxc",
    # DEFAULT = "vmm_exec/vmm_exec_lxc.conf",
    IMPORTED_VMS_ACTIONS = "terminate, hold,
        resume"
]
DATASTORE_MAD = [
    EXECUTABLE = "one_datastore",
    ARGUMENTS  = "-t 15 -d dummy,fs,restic,rsync,netapp -s shared,ssh"
]
VM_USE_OPERATIONS    = ""
DATASTORE_ENCRYPTED_ATTR = "RESTIC_PASSWORD"
DATASTORE_ENCRYPTED_ATTR = "RESTIC_S3_SECRET_ACCESS_KEY"
DS_MAD_CONF = [
    NAME = "restic", REQUIRED_ATTRS = "RESTIC_PASSWORD", PERSISTENT_ONLY = "YES"
]
DS_MAD_CONF = [
    NAME = "rsync", REQUIRED_ATTRS = "RSYNC_HOST,RSYNC_USER", PERSISTENT_ONLY = "YES"
]
MARKET_MAD_CONF = [ NAME = "one", REQUIRED_ATTRS = "" ]
`;

t.test('all is there', async (t) => {
  t.equal(adviceOn(COMPLETE_CONF), '/oned.conf has all that is needed');
  const other = COMPLETE_CONF.replace('-d dummy,fs,restic,rsync,zfs ', '').toLowerCase();
  t.equal(
    adviceOn(other),
    '/oned.conf has all that is needed',
    'without a list all folders are drivers; small letters',
  );
});

t.test('as OpenNebula ships it: only what is not shipped', async (t) => {
  t.equal(
    adviceOn(SHIPPED),
    `/oned.conf needs this (it was not changed):

# in DATASTORE_MAD (line 16), ARGUMENTS becomes
    ARGUMENTS  = "-t 15 -d dummy,fs,restic,rsync,netapp,zfs -s shared,ssh"

# after line 28, behind the last DS_MAD_CONF
DS_MAD_CONF = [
    NAME = "zfs",
    REQUIRED_ATTRS = "ZFS_HOST,ZFS_DATASET",
    PERSISTENT_ONLY = "YES" ]`,
  );
});

t.test('what has been pasted is enough', async (t) => {
  for (const begin of ['', '# nothing but a comment', SHIPPED, SHIPPED.replace(/-d .* -s/, '-d fs -s')]) {
    const [, ...pasted] = adviceOn(begin).split('\n');
    const list = pasted.find((line) => line.trim().startsWith('ARGUMENTS'))?.trim() ?? '';
    const isChanged = /ARGUMENTS becomes/.test(pasted.join('\n'));
    const text = isChanged ? begin.replace(/ARGUMENTS.*/, () => list) : begin;
    const added = pasted.filter((line) => !isChanged || line.trim() !== list).join('\n');
    t.equal(adviceOn(`${text}\n${added}\n`), '/oned.conf has all that is needed');
  }
});

t.test('what is commented out is not there', async (t) => {
  const commented = COMPLETE_CONF.replace(/^(DS_MAD_CONF = \[ NAME = "rsync".*)$/m, '  # $1').replace(
    /^(DATASTORE_E.*S3)/m,
    '#$1',
  );
  const advice = adviceOn(commented);
  t.match(advice, /^DS_MAD_CONF = \[\n {4}NAME = "rsync",$/m);
  t.match(advice, /^DATASTORE_ENCRYPTED_ATTR = "RESTIC_S3_SECRET_ACCESS_KEY"$/m);
  t.notMatch(advice, /NAME = "restic"|"RESTIC_PASSWORD"|ARGUMENTS/);
});

t.test('a list in its other forms, and a block that is wrong', async (t) => {
  for (const option of ['-d', '-d ', '--ds-types ', '--ds-types=']) {
    const advice = adviceOn(COMPLETE_CONF.replace('-d dummy,fs,restic,rsync,zfs', `${option}fs,restic`));
    t.match(advice, `"-t 15 ${option}fs,restic,rsync,zfs -s shared,ssh"`, option);
  }
  const advice = adviceOn(COMPLETE_CONF.replace(/PERSISTENT_ONLY = "YES" \]$/m, 'PERSISTENT_ONLY = "NO" ]'));
  t.match(advice, /# in DS_MAD_CONF of restic \(line 8\), PERSISTENT_ONLY becomes\n {4}PERSISTENT_ONLY = "YES"$/);
});

t.test('one that oned could not read', async (t) => {
  const cases: readonly [text: string, line: number, what: RegExp][] = [
    ['A = "x"\nB = [ C = "d"', 2, /"," or "\]" has to follow C in B/],
    ['A = "x"\nB = "never\nended', 2, /the quotes after B are never closed/],
    ['\n\nA "x"', 3, /"=" has to follow A, not "x"/],
    ['A = [ B = "x", ]', 1, /a name has to stand, not \]/],
    ['A =\n[ B = "x" ]', 2, /a name has to stand, not \[ B/],
    ['A = # none', 1, /a value has to follow A =, not # none/],
    ['A = "x" \xff', 1, /a name has to stand/],
  ];
  for (const [text, line, what] of cases) {
    const advice = adviceOn(text);
    t.match(advice, new RegExp(`^WARN: oned cannot read /oned\\.conf: line ${line}: ${what.source}`), text);
    t.notMatch(advice, /[^\n -~]/);
    t.match(advice, /^This is what it needs:$/m);
    t.match(advice, /NAME = "restic"[\s\S]*NAME = "rsync"[\s\S]*NAME = "zfs"/);
  }
});

t.test('the grammar', async (t) => {
  const text = `a="1" B = bare#c\nC = [ x = "say \\"hi\\"", Y=2 , # why
    Z = "two
lines" ] D=\nE = []\nF = "back\\slash"`;
  const plain = parseOnedConf(text).map(({ name, line, lastLine, value }) => [
    name,
    line,
    lastLine,
    typeof value === 'string' ? value : [...value],
  ]);
  t.strictSame(plain, [
    ['A', 1, 1, '1'],
    ['B', 1, 1, 'bare'],
    [
      'C',
      2,
      4,
      [
        ['X', 'say "hi"'],
        ['Y', '2'],
        ['Z', 'two\nlines'],
      ],
    ],
    ['D', 4, 4, ''],
    ['E', 5, 5, []],
    ['F', 6, 6, 'back\\slash'],
  ]);
});
