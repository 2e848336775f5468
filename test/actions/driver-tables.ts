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
  zfs: {
    monitor: [/server: look at the dataset .*\/100\n {4}LC_ALL=C zfs list /],
    backup: [
      /^host1: compute the checksums\n {4}/m,
      /^host1: .*\n {4}.* rsync -aS .*\/disk\.0\.\d /m,
      / qemu-img commit /,
      / sudo -n zfs snapshot -o one-backup:vm=1 /,
      / sudo -n zfs hold one-backup /,
    ],
    backup_cancel: [/^the front-end: end /m, /^host1: end the programs/m],
    ls: [/server: look at the dataset .*\/100\/1\n/],
    stat: [/server: read .*\/vm\.xml\n/],
    restore: [/server: read .*\/vm\.xml\n/, /oned: create an image .* as user oneadmin/, /oned: create a VM template/],
    rm: [/ sudo -n zfs release one-backup /, / sudo -n zfs destroy /],
    increment_flatten: [/ sudo -n zfs release one-backup /, / sudo -n zfs destroy /],
  },
};

type BadAttribute = readonly [name: string, value: string, says?: RegExp];

/** Attributes of a datastore that no action accepts, and what is said of them: the name at least. */
export const BAD_ATTRIBUTES: Readonly<Record<DriverName, readonly BadAttribute[]>> = {
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
  zfs: [
    ['ZFS_HOST', '-oProxyCommand=x'],
    ['ZFS_USER', '-oProxyCommand=x'],
    ...[
      '/tank',
      'tank/',
      'tank//a',
      '-o/x',
      '9tank',
      'tank@snap',
      'tank#mark',
      'tank/a b',
      'tank/../x',
      'tank/$(id)',
    ].map((name) => ['ZFS_DATASET', name, /ZFS_DATASET is .* not the name of a dataset/] as const),
    ['ZFS_DATASET', `tank/${'x'.repeat(196)}`, /not the name of a dataset/],
    ['ZFS_SUDO', 'perhaps', /one of YES, NO/],
    ...['lz5', 'gzip-0', 'gzip-10', 'zstd-3', 'on'].map(
      (word) => ['ZFS_COMPRESSION', word, /one of off, lz4, zstd, gzip, gzip-1, /] as const,
    ),
    ...['0G', '-1G', '1', '1E', '1.5G', '10000P', '10000000T', '5 G', 'all'].map(
      (size) => ['ZFS_QUOTA', size, /ZFS_QUOTA .* a size \(500G\) of at most 9999P, or none/] as const,
    ),
    ['ZFS_HOLD', '1', /one of YES, NO/],
    ['ZFS_BWLIMIT', '0', /from 1 to 1000000000/],
    ['ZFS_BWLIMIT', '1000000001', /from 1 to 1000000000/],
    ['ZFS_NICE', '-20', /from -19 to 19/],
    ['ZFS_NICE', '20', /from -19 to 19/],
    ['ZFS_IONICE', '-1', /from 0 to 7/],
    ['ZFS_IONICE', '8', /from 0 to 7/],
    ['ZFS_MAX_RIOPS', '0'],
    ['ZFS_MAX_WIOPS', '1e3'],
    ['ZFS_CPU_QUOTA', '100001', /from 1 to 100000/],
    ['ZFS_MEMORY_MAX_MB', '15', /from 16 to 1000000000/],
    ['ZFS_STALL_LIMIT', '29', /from 30 to 86400/],
    ['ZFS_STALL_LIMIT', '86401', /from 30 to 86400/],
  ],
};

/** Attributes just inside of what is accepted. */
export const GOOD_ATTRIBUTES: Readonly<Record<DriverName, readonly (readonly [name: string, value: string])[]>> = {
  restic: [
    ...['RESTIC_NICE:-19:19', 'RESTIC_IONICE:0:7', 'RESTIC_CONNECTIONS:1:256', 'RESTIC_LOCK_WAIT:0:86400'],
    ...['RESTIC_STALL_LIMIT:30:86400', 'RESTIC_COMPRESSION:MAX:off', 'RESTIC_PRUNE_MAX_UNUSED:5%:unlimited'],
  ].flatMap(apart),
  rsync: ['RSYNC_NICE:-19:19', 'RSYNC_IONICE:0:7', 'RSYNC_MEMORY_MAX_MB:16', 'RSYNC_STALL_LIMIT:30:86400'].flatMap(
    apart,
  ),
  zfs: [
    ...['ZFS_NICE:-19:19', 'ZFS_IONICE:0:7', 'ZFS_MAX_RIOPS:1', 'ZFS_MAX_WIOPS:1000000000', 'ZFS_CPU_QUOTA:1:100000'],
    ...['ZFS_MEMORY_MAX_MB:16', 'ZFS_STALL_LIMIT:30:86400', 'ZFS_BWLIMIT:1:1000000000', 'ZFS_HOLD:no', 'ZFS_SUDO:no'],
    ...[
      'ZFS_QUOTA:none:1K:9999P:9999999t',
      'ZFS_COMPRESSION:off:LZ4:zstd:gzip:gzip-1:gzip-9',
      'ZFS_DATASET:t:a/B-._/9',
    ],
    `ZFS_DATASET:tank/${'x'.repeat(195)}`,
  ].flatMap(apart),
};

/** `NAME:VALUE:VALUE` as pairs. */
function apart(line: string): [name: string, value: string][] {
  const [name = '', ...values] = line.split(':');
  return values.map((value) => [name, value]);
}

const REFUSED_SOURCE = /not the id of a backup/;

/** Backup URLs that no action accepts, and what is said of them. */
export const BAD_URLS: Readonly<Record<DriverName, readonly (readonly [url: string, says: RegExp])[]>> = {
  restic: chainUrls('restic', 'rsync', '/d/1/backup/disk.0.0'),
  rsync: chainUrls('rsync', 'restic', '/d/1/0a1b2c3d/disk.0.0'),
  zfs: [
    ['rsync://100//0:0a1b2c3d/d/1/0a1b2c3d/disk.0.0', /begins with rsync:.* belongs to another driver/],
    ['ssh://server:/tank/100/1/.zfs/snapshot/one-backup-0a1b2c3d/disk.0', /not of the form ssh:/],
    ['ssh://oneadmin@server/tank/100/1/.zfs/snapshot/one-backup-0a1b2c3d/disk.0', /not of the form ssh:/],
    [`ssh://oneadmin@server:/tank/${'a'.repeat(10_000)}`, /too long/],
    [`ssh://oneadmin@server:/tank/100/1/.zfs/snapshot/one-backup-${'a'.repeat(1000)}/disk.0`, REFUSED_SOURCE],
    ['ssh://oneadmin@server:/tank/100/1/.zfs/snapshot/one-backup---all/disk.0', /\.zfs\/snapshot\/one-backup-<SOURCE>/],
    ['ssh://oneadmin@server:/tank/100/1/.zfs/snapshot/daily-1/disk.0', /\.zfs\/snapshot\/one-backup-<SOURCE>/],
    ['ssh://oneadmin@server:/tank/100/1/.zfs/snapshot/one-backup-0a1b2c3d/../../../../etc/passwd', /without ".."/],
    ['ssh://oneadmin@server:/tank/100/1/.zfs/snapshot/one-backup-0a1b2c3d/vm.xml', /name of a disk/],
    ['ssh://oneadmin@server:/tank/x/.zfs/snapshot/one-backup-0a1b2c3d/disk.0', /VM ID/],
    ['ssh://oneadmin@server:/etc/passwd', /VM ID/],
    ['/etc/passwd', /not of the form/],
  ],
};

function chainUrls(driver: string, other: string, path: string): [url: string, says: RegExp][] {
  return [
    [`${driver}://999//0:0a1b2c3d${path}`, /of datastore 999, not of 100/],
    [`${other}://100//0:0a1b2c3d${path}`, /belongs to another driver/],
    [`${driver}://100//0:${'a'.repeat(10_000)}${path}`, REFUSED_SOURCE],
    [`${driver}://100//0:--all${path}`, REFUSED_SOURCE],
    [`${driver}://100//${path}`, /not a list of ID:SOURCE|not of the form/],
    [`${driver}://100/x/0:0a1b2c3d${path}`, /job of the backup URL/],
    [`${driver}://100//0:0a1b2c3d/d/1/backup/../../../etc/passwd`, /without ".."/],
    [`${driver}://100//0:0a1b2c3d/d/1/backup/vm.xml`, /name of a disk/],
    [`${driver}://100//0:0a1b2c3d/disk.0.0`, /VM ID/],
    ['/etc/passwd', /not of the form/],
  ];
}
