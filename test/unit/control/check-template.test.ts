import t from 'tap';
import { checkTemplate } from '../../../lib/control/check-template';
import { resticDriver } from '../../../lib/engine/restic/driver';
import { rsyncDriver } from '../../../lib/engine/rsync/driver';
import { zfsDriver } from '../../../lib/engine/zfs/driver';
import { checkAttributes } from '../../../lib/opennebula/attributes';
import { templateElement } from '../../../lib/opennebula/datastore-document';
import { parseTemplateFile } from '../../../lib/opennebula/template-file';

const DRIVERS = [resticDriver, rsyncDriver, zfsDriver];
const GOOD = {
  restic:
    'NAME = "b"\nTYPE = "BACKUP_DS"\nDS_MAD = "restic"\nTM_MAD = "-"\nRESTIC_SFTP_SERVER = "s"\nRESTIC_PASSWORD = "p"\n',
  rsync: 'NAME = "b"\nTYPE = "backup_ds"\nDS_MAD = "rsync"\nTM_MAD = "-"\nRSYNC_HOST = "s"\n',
};

/** `line:column severity what` of each finding. */
function findings(text: string): string[] {
  return checkTemplate(parseTemplateFile(Buffer.from(text)), DRIVERS).map(
    ({ at, severity, what, hint }) => `${at.line}:${at.column} ${severity} ${what}. ${hint}`,
  );
}

t.test('nothing is found in a good template', async (t) => {
  for (const text of Object.values(GOOD)) t.strictSame(findings(text), []);
  t.strictSame(findings(`${GOOD.restic}BRIDGE_LIST = "h1 h2.example.net"\nLIMIT_MB = 1000\nSAFE_DIRS = "/x"\n`), []);
});

const FOUND: readonly [more: string, ...expected: RegExp[]][] = [
  ['RESTIC_CONECTIONS = 3', /^7:1 error nobody reads RESTIC_CONECTIONS\. Did you mean RESTIC_CONNECTIONS/],
  ['RESTIC_WHATEVER_IT_IS = 3', /^7:1 error the driver restic has no RESTIC_WHATEVER_IT_IS/],
  ['MY_OWN_NOTE = 3', /^7:1 warning neither oned nor a driver reads MY_OWN_NOTE/],
  ['RSYNC_USER = x', /^7:1 warning RSYNC_USER is of the driver rsync; restic does not/],
  ['RESTIC_S3_BUCKET = x', /^7:1 warning RESTIC_S3_BUCKET is not read: .*S3/],
  ['  RESTIC_NICE =  "20"', /^7:18 error RESTIC_NICE is "20", it must be a whole number from -19 to 19/],
  [
    'RESTIC_NICE = 99\nRESTIC_BACKEND = S3\nRESTIC_TMP_DIR = tmp\nRESTIC_SFTP_USER = "a b"',
    /^7:15 error RESTIC_NICE/,
    /^8:18 error RESTIC_BACKEND is "S3", it must be one of SFTP/,
    /^9:18 error RESTIC_TMP_DIR is "tmp", which is not an absolute path/,
    /^10:20 error RESTIC_SFTP_USER is "a b", which is not a user name/,
  ],
  ['RESTIC_NICE = 1\nRESTIC_NICE = 2', /^8:1 error line 7 has RESTIC_NICE already/],
  ['RESTIC_NICE = [ A = 1, A = 2 ]', /^7:1 error RESTIC_NICE is a vector/, /^7:24 warning A stands twice/],
  ['LIMIT_MB = much', /^7:12 error LIMIT_MB is "much", it must be a whole number/],
  ['BRIDGE_LIST = "h1 -o"', /^7:15 error BRIDGE_LIST .*no list of hosts/],
  ['BASE_PATH = "/x"', /^7:1 warning BASE_PATH is not read: oned sets it/],
  ['NICE "x"', /^7:1 error no "=" follows this word/],
];

t.test('each fault, with its place: all of them at once', async (t) => {
  for (const [more, ...expected] of FOUND) {
    const found = findings(`${GOOD.restic}${more}\n`);
    t.equal(found.length, expected.length, more, { found });
    for (const one of expected)
      t.ok(
        found.some((line) => one.test(line)),
        `${one}`,
        { found },
      );
  }
});

t.test('what is missing, and what makes it no backup datastore', async (t) => {
  t.match(findings(''), [/NAME is missing/, /TYPE is missing/, /DS_MAD is missing/, /TM_MAD is missing/]);
  t.match(findings(GOOD.restic.replace('"p"', '""')), [/^6:19 error RESTIC_PASSWORD is missing/]);
  t.match(findings(GOOD.rsync.replace(/RSYNC_HOST.*\n/, '')), [/^3:10 error RSYNC_HOST is missing\. Give the name/]);
  t.match(findings(GOOD.rsync.replace('backup_ds', 'IMAGE_DS')), [/^2:8 error TYPE is "IMAGE_DS"/]);
  t.match(findings(GOOD.rsync.replace('"-"', '"ssh"')), [/^4:10 error TM_MAD is "ssh"/]);
  t.match(findings(GOOD.rsync.replace('"rsync"', '"rsnc"')), [
    /^3:10 error there is no driver "rsnc"\. Did you mean "rsync"/,
  ]);
  t.match(findings(GOOD.rsync.replace('"rsync"', '"fs"')), [/Choose one of: restic, rsync, zfs/]);
  t.match(findings(GOOD.rsync.replace('"b"', '"a;b"')), [/^1:8 warning NAME/]);
});

t.test('no finding shows a secret', async (t) => {
  const long = `hunter2${'x'.repeat(5000)}`;
  for (const secret of [long, 'hunter2\nb']) {
    const found = findings(GOOD.restic.replace('"p"', `"${secret}"`));
    t.match(found, [/RESTIC_PASSWORD must be/]);
    t.notMatch(found.join(), /hunter2/);
  }
});

t.test('the tables of attributes are what the drivers read', async (t) => {
  for (const { name, attributes, readConfig } of DRIVERS) {
    const { asked, required, secret, problems } = checkAttributes({ template: templateElement([]) }, readConfig);
    const listed = (is: (fact: (typeof attributes)[number]) => unknown): string[] =>
      attributes
        .filter((fact) => fact.unread === undefined && is(fact))
        .map((fact) => fact.name)
        .sort();
    t.strictSame(
      listed(() => true),
      [...asked].sort(),
      `${name}: all`,
    );
    t.strictSame(
      listed((fact) => fact.required),
      [...required].sort(),
      `${name}: required`,
    );
    t.strictSame(
      listed((fact) => fact.secret),
      [...secret].sort(),
      `${name}: secret`,
    );
    t.strictSame(problems.map((problem) => problem.name).sort(), [...required].sort(), `${name}: none is forgotten`);
  }
});
