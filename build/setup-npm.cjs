'use strict';
// The npm packages, exactly as package-lock.json has them, without running any package's install script.

const { spawnSync } = require('node:child_process');
const { createHash } = require('node:crypto');
const { existsSync, readFileSync, writeFileSync } = require('node:fs');
const { join } = require('node:path');

const ROOT = join(__dirname, '..');
const LOCK = join(ROOT, 'package-lock.json');
const MODULES = join(ROOT, 'node_modules');
/** Holds the hash of the lock file that node_modules was made from. */
const STAMP = join(MODULES, '.setup-stamp');
/** Programs that some packages fetch or link in an install script: they must run without it. */
const MUST_RUN = ['esbuild', 'biome'];

function lockHash() {
  return createHash('sha256').update(readFileSync(LOCK)).digest('hex');
}

function isStamped() {
  return existsSync(STAMP) && readFileSync(STAMP, 'utf8') === lockHash();
}

/** Tells whether npm's own record of what it installed agrees with the lock: somebody has run npm by hand. */
function isInstalledByHand() {
  const record = join(MODULES, '.package-lock.json');
  if (!existsSync(record)) return false;
  const installed = JSON.parse(readFileSync(record, 'utf8')).packages;
  const wanted = JSON.parse(readFileSync(LOCK, 'utf8')).packages;
  const isSame = ([path, entry]) => (installed[path] ? installed[path].version === entry.version : entry.optional);
  const packages = Object.entries(wanted).filter(([path]) => path !== '');
  return packages.every(isSame) && Object.keys(installed).every((path) => path in wanted);
}

function verifyPrograms() {
  for (const name of MUST_RUN) {
    const { error, status, stderr } = spawnSync(join(MODULES, '.bin', name), ['--version'], { encoding: 'utf8' });
    if (status !== 0) throw new Error(`${name} does not run on this machine: ${error?.message ?? stderr.trim()}`);
  }
}

/** A step of setup.cjs. */
exports.npmPackages = {
  isReady: isStamped,

  make() {
    const byHand = isInstalledByHand();
    if (!byHand) {
      const args = ['ci', '--ignore-scripts', '--include=dev', '--no-progress', '--loglevel=error'];
      const { error, status } = spawnSync('npm', args, { cwd: ROOT, stdio: ['ignore', 'ignore', 'inherit'] });
      if (status !== 0) throw new Error(`npm ci failed${error ? `: ${error.message}` : ', see above'}`);
    }
    verifyPrograms();
    writeFileSync(STAMP, lockHash());
    return byHand ? 'npm packages found installed' : 'npm packages installed';
  },
};
