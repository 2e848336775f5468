'use strict';
// The programs that the tests and the demo run, from the packages of Debian or Ubuntu.

const { spawnSync } = require('node:child_process');
const { accessSync, constants } = require('node:fs');
const { delimiter, join } = require('node:path');

/** What is run from each package. */
const PROGRAMS = {
  'openssh-server': ['sshd'],
  'openssh-client': ['ssh', 'ssh-keygen', 'ssh-agent'],
  restic: ['restic'],
  rsync: ['rsync'],
  'qemu-utils': ['qemu-img', 'qemu-io'],
  'qemu-system-x86': ['qemu-system-x86_64'],
  debootstrap: ['debootstrap'],
  coreutils: ['timeout'],
  'util-linux': ['setsid', 'setpriv'],
  procps: ['ps'],
  e2fsprogs: ['mke2fs', 'debugfs'],
  file: ['file'],
  openssl: ['openssl'],
};

const FOLDERS = [...(process.env.PATH ?? '').split(delimiter), '/usr/local/sbin', '/usr/sbin', '/sbin'];
const INSTALL = 'apt-get -o DPkg::Lock::Timeout=500 install -y --no-install-recommends';

/**
 * What root runs, `$@` being the packages. No service is started: invoke-rc.d asks policy-rc.d, which is there for the
 * time of the installation only. The mark tells a file of ours, left by a killed run, from one that belongs to the machine.
 */
const INSTALL_SCRIPT = `
set -eu
export DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1
policy=/usr/sbin/policy-rc.d
mark='# here for the time of one installation only'
if [ ! -e "$policy" ] || grep -qxF "$mark" "$policy"; then
  trap 'rm -f "$policy"' EXIT
  trap 'exit 1' HUP INT TERM
  printf '#!/bin/sh\\n%s\\nexit 101\\n' "$mark" > "$policy"
  chmod 755 "$policy"
fi
lists=/var/lib/apt/lists
fresh=$(find "$lists" -maxdepth 1 -mmin -1440 -name lists)
known=$(find "$lists" -maxdepth 1 -name '*_Packages*' | head -n 1)
if [ -z "$fresh" ] || [ -z "$known" ]; then apt-get update || true; fi
${INSTALL} "$@" || { apt-get update; ${INSTALL} "$@"; }
`;

function isExecutable(path) {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

function isInstalled(program) {
  return FOLDERS.some((folder) => folder !== '' && isExecutable(join(folder, program)));
}

function missingPackages() {
  return Object.keys(PROGRAMS).filter((name) => !PROGRAMS[name].every(isInstalled));
}

/** Returns how to become root, as the beginning of a command; undefined when this account cannot. */
function becomeRoot() {
  if (process.getuid?.() === 0) return [];
  return spawnSync('sudo', ['-n', 'true']).status === 0 ? ['sudo', '-n'] : undefined;
}

/** A step of setup.cjs. */
exports.debianPackages = {
  isReady: () => missingPackages().length === 0,

  make() {
    const packages = missingPackages();
    const missing = `these packages are missing: ${packages.join(' ')}`;
    if (!isInstalled('apt-get')) throw new Error(`${missing}\nsetup: there is no apt-get here: install them by hand`);
    const root = becomeRoot();
    if (root === undefined)
      throw new Error(`${missing}\nsetup: install them with: sudo ${INSTALL} ${packages.join(' ')}`);

    // One installation at a time: a second tree would find the first one's policy-rc.d and rely on it.
    const command = [...root, 'flock', '--close', '/etc/apt', 'sh', '-c', INSTALL_SCRIPT, 'sh', ...packages];
    const [program, ...args] = command;
    const options = { encoding: 'utf8', maxBuffer: 2 ** 28, stdio: ['ignore', 'pipe', 'pipe'] };
    const { error, status, stdout, stderr } = spawnSync(program, args, options);
    if (status !== 0) throw new Error(`apt-get failed for ${packages.join(' ')}\n${error ?? stdout + stderr}`);
    const still = missingPackages();
    if (still.length > 0) throw new Error(`still missing after their installation: ${still.join(' ')}`);
    return `Debian packages installed: ${packages.join(' ')}`;
  },
};
