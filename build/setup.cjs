'use strict';
// Makes a machine that has Node and nothing else ready for the npm script that follows. Every npm script begins with it,
// so it is plain JavaScript without dependencies, and says nothing when there is nothing to do.
//   node build/setup.cjs            the npm packages
//   node build/setup.cjs --tools    and the programs that the tests and the demo run
//   node build/setup.cjs --tools --zfs    and the machine with OpenZFS that the tests of ZFS run

const { spawnSync } = require('node:child_process');
const { join } = require('node:path');
const { debianPackages } = require('./setup-debian.cjs');
const { npmPackages } = require('./setup-npm.cjs');
const { newerRestic } = require('./setup-restic.cjs');
const { zfsMachine } = require('./setup-zfs.cjs');

const ROOT = join(__dirname, '..');
const OLDEST_NODE = 20;

/** Runs every step that is not ready. A step is `{ isReady(), make() }`; `make` returns what it did, or throws. */
function runSteps(steps) {
  for (const step of steps) {
    if (step.isReady()) continue;
    const started = Date.now();
    const done = step.make();
    console.error(`setup: ${done} (${((Date.now() - started) / 1000).toFixed(1)} s)`);
  }
}

/**
 * Runs this script again as the only one of its kind in this tree; whoever comes second finds the work done.
 * The lock is the kernel's and on the folder itself, so nothing can be left behind. Returns undefined without flock(1).
 */
function runAlone(args) {
  const command = ['--close', ROOT, process.execPath, __filename, ...args, '--alone'];
  const { error, status } = spawnSync('flock', command, { stdio: 'inherit' });
  return error === undefined ? (status ?? 1) : undefined;
}

function main(args) {
  if (Number(process.versions.node.split('.')[0]) < OLDEST_NODE) {
    throw new Error(`Node ${OLDEST_NODE} or newer is needed; this is ${process.version}`);
  }
  const tools = args.includes('--tools') ? [debianPackages, newerRestic] : [];
  const steps = [npmPackages, ...tools, ...(args.includes('--zfs') ? [zfsMachine] : [])];
  if (steps.every((step) => step.isReady())) return 0;
  const status = args.includes('--alone') ? undefined : runAlone(args);
  if (status !== undefined) return status;
  runSteps(steps);
  return 0;
}

try {
  process.exitCode = main(process.argv.slice(2));
} catch (error) {
  console.error(`setup: ${error.message}`);
  process.exitCode = 1;
}
