/** The name of the packages. */
export const PACKAGE = 'opennebula-backup-drivers';

/** Where the .deb puts the drivers and their installer. */
export const SHARE = `usr/share/${PACKAGE}`;

/** Returns the control file of the .deb. Node is only recommended, for many have it from elsewhere; preinst looks for it. */
export function controlOf(version: string, kib: number): string {
  return `Package: ${PACKAGE}
Version: ${version}
Architecture: all
Maintainer: ${PACKAGE} contributors <contributors@${PACKAGE}.invalid>
Installed-Size: ${kib}
Depends: openssh-client
Recommends: nodejs (>= 20), restic, rsync, qemu-utils
Section: admin
Priority: optional
Description: backup datastore drivers for OpenNebula
 Drivers that store backups of virtual machines, as standalone Node scripts in
 the front-end's remotes. What they replace there comes back when the package
 is removed. Node 20 or newer has to be on the PATH.
`;
}

const INSTALL = `env -u ONE_LOCATION /${SHARE}/install --var /var/lib/one`;

function checkNode(purpose: string): string {
  return `
  if ! node -e 'process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)' 2> /dev/null; then
    echo "${PACKAGE}: ${purpose} needs Node 20 or newer on the PATH: install it first." >&2
    exit 1
  fi`;
}

/** The scripts that dpkg runs. An upgrade installs over the older version, so the first originals stay kept. */
export const CONTROL_SCRIPTS: Readonly<Record<string, string>> = {
  preinst: script(`install | upgrade)${checkNode('this package')}`),
  postinst: script(`configure)
  ${INSTALL}
  ;;
abort-remove)
  ${INSTALL} || true`),
  prerm: script(`remove)${checkNode('giving back what was replaced')}
  ${INSTALL} --uninstall`),
};

function script(cases: string): string {
  // apt runs dpkg with a PATH of its own, without /usr/local/bin (apt.conf(5), DPkg::Path)
  return `#!/bin/sh\nset -e\nPATH=$PATH:/usr/local/bin; export PATH\ncase "$1" in\n${cases}\n  ;;\nesac\n`;
}
