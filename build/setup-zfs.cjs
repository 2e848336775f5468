'use strict';
// The machine with real OpenZFS on which the ZFS driver is tested: built once, for minutes, and kept outside of the checkout.

const { spawnSync } = require('node:child_process');
const { join } = require('node:path');

const BUILD = join(__dirname, '..', 'test', 'helpers', 'zfs-machine', 'build.sh');

module.exports.zfsMachine = {
  isReady: () => spawnSync('bash', [BUILD, '--path'], { stdio: 'ignore' }).status === 0,
  /** The tests of ZFS build it again, and tell why, when it cannot be built here: nothing else needs it. */
  make() {
    process.stderr.write('setup: building a machine with OpenZFS, once; this takes some minutes\n');
    const { status } = spawnSync('bash', [BUILD], { stdio: ['ignore', 'ignore', 'inherit'] });
    return status === 0
      ? 'built the machine with OpenZFS'
      : 'could not build the machine with OpenZFS; its tests will fail';
  },
};
