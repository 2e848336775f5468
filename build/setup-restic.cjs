'use strict';
// A second restic, newer than the one that an older Debian has, for the tests that compare the two. It is unpacked from
// the package of a newer Debian, from the mirror that this machine uses anyway; nothing is installed and the machine's
// apt configuration stays as it is. Where that cannot be, a file named WHY says so: one restic is enough to go on.

const { spawnSync } = require('node:child_process');
const { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync } = require('node:fs');
const { rmSync, statSync, writeFileSync } = require('node:fs');
const { tmpdir } = require('node:os');
const { join } = require('node:path');

const FOLDER = join(__dirname, '..', 'node_modules', '.cache', 'restic-new');
const RESTIC = join(FOLDER, 'restic');
const WHY = join(FOLDER, 'WHY');
/** How long a reason not to have it is believed: a mirror may have been down. */
const WHY_LASTS_MS = 24 * 3600 * 1000;
/** The first release with the features that the drivers use when they are there. */
const NEW_ENOUGH = 18;
const SUITES = ['trixie', 'sid'];
const KEYRINGS = ['gpg', 'pgp'].map((type) => `/usr/share/keyrings/debian-archive-keyring.${type}`);

/** Runs a program to its end; returns its stdout, or undefined when it failed. */
function output(program, args, options = {}) {
  const { status, stdout } = spawnSync(program, args, { encoding: 'utf8', timeout: 300_000, ...options });
  return status === 0 ? stdout : undefined;
}

function isNewEnough(restic) {
  const [, major, minor] = /^restic (\d+)\.(\d+)/.exec(output(restic, ['version']) ?? '') ?? [];
  return Number(major) > 0 || Number(minor) >= NEW_ENOUGH;
}

/** Returns the mirrors of Debian's main archive in this machine's configuration. */
function mirrors() {
  const format = ['indextargets', '--format', '$(REPO_URI) $(ORIGIN)', 'Created-By: Packages'];
  const targets = (output('apt-get', format) ?? '').split('\n').filter((line) => !line.includes('security'));
  const sources = targets.map((line) => line.split(' ')).map(([uri, origin]) => ({ uri, origin }));
  const known = sources.filter(({ uri, origin }) => origin === 'Debian' || (!origin && /debian/.test(uri)));
  return [...new Set(known.map(({ uri }) => uri))];
}

/** Makes an apt configuration of one source inside `folder`; returns the options that select it. */
function privateApt(folder, source) {
  for (const part of ['state/lists/partial', 'cache/archives/partial'])
    mkdirSync(join(folder, part), { recursive: true });
  writeFileSync(join(folder, 'state/status'), '');
  writeFileSync(join(folder, 'sources.list'), `${source}\n`);
  const settings = {
    'Dir::Etc::SourceList': join(folder, 'sources.list'),
    'Dir::Etc::SourceParts': '/dev/null',
    'Dir::State': join(folder, 'state'),
    'Dir::State::status': join(folder, 'state/status'),
    'Dir::Cache': join(folder, 'cache'),
    'APT::Update::Post-Invoke-Success': '',
    'Acquire::Languages': 'none',
    'Acquire::Retries': '3',
    ...(process.getuid?.() === 0 && { 'APT::Sandbox::User': 'root' }),
  };
  return ['-qq', ...Object.entries(settings).flatMap(([name, value]) => ['-o', `${name}=${value}`])];
}

/** Unpacks restic from one suite of a mirror below `folder`; returns the program, or undefined. */
function fetchFrom(mirror, suite, keyring, folder) {
  const work = mkdtempSync(join(folder, `${suite}-`));
  const apt = privateApt(work, `deb [signed-by=${keyring}] ${mirror} ${suite} main`);
  if (output('apt-get', [...apt, 'update']) === undefined) return undefined;
  if (output('apt-get', [...apt, 'download', 'restic'], { cwd: work }) === undefined) return undefined;
  const deb = readdirSync(work).find((name) => name.endsWith('.deb'));
  if (deb === undefined || output('dpkg-deb', ['-x', join(work, deb), join(work, 'root')]) === undefined)
    return undefined;
  const restic = join(work, 'root/usr/bin/restic');
  return isNewEnough(restic) ? restic : undefined;
}

/** Puts the program in place; returns why there is none, or undefined on success. */
function fetchRestic(folder) {
  if (isNewEnough('restic')) return `the installed restic is 0.${NEW_ENOUGH} or newer already`;
  const keyring = KEYRINGS.find((path) => existsSync(path));
  let found = mirrors();
  if (found.length === 0 && output('apt-get', ['-qq', 'update']) !== undefined) found = mirrors(); // apt tells them from its lists
  if (keyring === undefined || found.length === 0)
    return 'this machine has no mirror of Debian in its apt configuration';
  for (const mirror of found) {
    for (const suite of SUITES) {
      const restic = fetchFrom(mirror, suite, keyring, folder);
      if (restic === undefined) continue;
      cpSync(restic, `${RESTIC}.part`);
      renameSync(`${RESTIC}.part`, RESTIC);
      return undefined;
    }
  }
  return `no restic 0.${NEW_ENOUGH} or newer that runs here in ${SUITES.join(' or ')} of ${found.join(' or ')}`;
}

/** A step of setup.cjs. */
exports.newerRestic = {
  isReady: () => existsSync(RESTIC) || (existsSync(WHY) && Date.now() - statSync(WHY).mtimeMs < WHY_LASTS_MS),

  make() {
    mkdirSync(FOLDER, { recursive: true });
    const folder = mkdtempSync(join(tmpdir(), 'newer-restic-'));
    try {
      const why = fetchRestic(folder);
      if (why === undefined) {
        rmSync(WHY, { force: true });
        return `a newer restic unpacked: ${output(RESTIC, ['version']).trim()}`;
      }
      writeFileSync(WHY, `${why}\n`);
      return `no second restic: ${why}`;
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  },
};
