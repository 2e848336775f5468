import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/** How the login on a ZFS server may run zfs: by sudo, or by rights that were delegated. */
export type Rights = 'sudo' | 'allow';

/** The README's own lines for /etc/sudoers.d, for any dataset below `tank`. */
export function sudoersOf(rights: Rights): string {
  const found =
    rights === 'sudo'
      ? /^Cmnd_Alias BACKUPS[\s\S]*?^oneadmin .*$/m.exec(readme())?.[0]
      : /echo '(oneadmin .*)' > \/etc\/sudoers/.exec(readme())?.[1];
  return `${(found ?? '').replaceAll('tank/backups', 'tank/[a-z0-9]+')}\n`;
}

/** The README's `zfs allow`, for `tank`. */
export function allowed(): string {
  return (/^zfs allow .*$/m.exec(readme())?.[0] ?? 'false').replace('tank/backups', 'tank');
}

function readme(): string {
  return readFileSync(join(__dirname, '..', '..', 'README.md'), 'utf8');
}
