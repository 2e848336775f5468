import type { DriverName } from '../helpers/drivers';

/** What --dry-run tells of each action: the host, the step, the command. */
export const PLANNED: Readonly<Record<DriverName, Readonly<Record<string, readonly RegExp[]>>>> = {
  restic: {
    monitor: [/server: ask for the size of the filesystem/],
    backup: [/^host1: .*\n {4}.*RESTIC_PASSWORD=\*\*\* restic .*\bbackup\b/m, /^host1: .*\n {4}.* init\b/m],
    backup_cancel: [/^the front-end: end /m, /^host1: end the programs/m],
    ls: [/^the front-end: .*\n {4}.*RESTIC_PASSWORD=\*\*\* restic .* snapshots /m],
    stat: [/^the front-end: .*\n {4}.*RESTIC_PASSWORD=\*\*\* restic .* dump .*vm\.xml/m],
    restore: [/RESTIC_PASSWORD=\*\*\*/, /oned: create an image .* as user oneadmin/, /oned: create a VM template/],
    rm: [/server: .*\n {4}.*RESTIC_PASSWORD=\*\*\* restic .* forget .*prune/],
    increment_flatten: [/ restore /, /qemu-img commit/, / backup /, / forget .*prune/],
    '--stream': [/RESTIC_PASSWORD=\*\*\* restic .* dump |restore /],
  },
  rsync: {
    monitor: [/server: ask for the size of the filesystem/],
    backup: [
      /^host1: compute the checksums\n {4}/m,
      /^host1: .*\n {4}.* rsync -aS .*\/disk\.0\.3 /m,
      /server: make \w+ visible/,
    ],
    backup_cancel: [/^the front-end: end /m, /^host1: end the programs/m],
    ls: [/server: list .*\/100\/1\n/],
    stat: [/server: read .*\/vm\.xml\n/],
    restore: [/server: read .*\/vm\.xml\n/, /oned: create an image .* as user oneadmin/, /oned: create a VM template/],
    rm: [/server: remove the backups\n {4}/],
    increment_flatten: [
      / qemu-img (convert|commit) /,
      / qemu-img check /,
      / qemu-img compare /,
      /server: remove the backups/,
    ],
    '--stream': [/server: merge the chain\n {4}qemu-img convert /, /\n {4}cat -- /],
  },
};

/** Attributes of a datastore that no action accepts, and what is said of them: the name at least. */
export const BAD_ATTRIBUTES: Readonly<Record<DriverName, readonly [name: string, value: string, says?: RegExp][]>> = {
  restic: [
    ['RESTIC_PASSWORD', 'two\nlines', /RESTIC_PASSWORD .* single line/],
    ['RESTIC_PASSWORD', 'x'.repeat(5000), /at most 4096 bytes/],
    ['RESTIC_SFTP_USER', '-oProxyCommand=x'],
    ['RESTIC_NICE', '20', /RESTIC_NICE .* from -19 to 19/],
    ['RESTIC_NICE', '-20', /RESTIC_NICE .* from -19 to 19/],
    ['RESTIC_IONICE', '8', /from 0 to 7/],
    ['RESTIC_BWLIMIT', '0'],
    ['RESTIC_CONNECTIONS', '0'],
    ['RESTIC_COMPRESSION', 'best', /one of auto, off, max/],
    ['RESTIC_TMP_DIR', 'tmp'],
    ['RESTIC_PRUNE_MAX_UNUSED', '5 %'],
    ['RESTIC_BACKEND', 'S3', /RESTIC_BACKEND/],
  ],
  rsync: [
    ['RSYNC_USER', '-oProxyCommand=x'],
    ['RSYNC_ARGS', '-a -e "sh -c id"', /RSYNC_ARGS.* option -e is not allowed/],
    ['RSYNC_ARGS', '-a --rsync-path=/bin/false', /option --rsync-path is not allowed/],
    ['RSYNC_ARGS', '-a /etc/passwd', /"\/etc\/passwd" is no option/],
    ['RSYNC_ARGS', '-a `id`', /the character ` has no meaning/],
    ['RSYNC_NICE', '20', /RSYNC_NICE .* from -19 to 19/],
    ['RSYNC_IONICE', '8', /from 0 to 7/],
    ['RSYNC_TMP_DIR', 'tmp'],
    ['RSYNC_SPARSIFY', 'perhaps'],
    ['RSYNC_MEMORY_MAX_MB', '1'],
    ['RSYNC_STALL_LIMIT', '5', /from 30 to 86400/],
  ],
};
