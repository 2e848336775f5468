import { isApart } from '../../command/folder';
import { isOthersSnapshot } from '../../command/open-snapshot';
import { quote } from '../../command/quote';
import * as zfs from '../../command/zfs';
import type { Dataset } from '../../command/zfs-list';
import type { Mend } from '../../errors';
import type { Host } from '../../host/host';
import { joinPath, parseAbsolutePath, type UserName } from '../../opennebula/ids';
import type { Check } from '../examination';

/**
 * Says which of the admin's dataset and the datastore's below it is not mounted, or hidden: what is mounted above another
 * one later hides it, and every file in it. Undefined when all can be seen, or where somebody has set other mountpoints.
 */
export async function mountCheck(
  [root, own]: readonly [Dataset, Dataset | undefined],
  server: Host,
  byRoot: (...commands: [string, ...string[]]) => Mend,
): Promise<Check | undefined> {
  const all = own === undefined ? [root] : [root, own];
  if (!all.every(({ mountpoint }) => mountpoint?.startsWith('/'))) return undefined;
  const mount = ({ name }: Dataset): string => `zfs mount ${name}`;
  const failure = (says: string, first: string, ...others: string[]): Check => ({
    ...{ state: 'failure', says },
    mend: byRoot(first, ...others),
  });
  // What is mounted below comes off first, the VMs' datasets with it; each action mounts its VM's again.
  const off = own?.isMounted ? [`zfs unmount ${own.name}`] : [];
  const [first = mount(root), ...others] = [...off, ...all.map(mount)];
  if (!root.isMounted) return failure(`${root.name} is not mounted`, first, ...others);
  if (own?.isMounted === false) return failure(`${own.name} is not mounted`, mount(own));
  if (own === undefined) return undefined;
  const folderOf = ({ name, mountpoint = '' }: Dataset) =>
    parseAbsolutePath(mountpoint, `the mountpoint of ${name}`, 'failed');
  const [above, folder] = [folderOf(root), folderOf(own)];
  if (await server.run(isApart(folder, above))) return undefined;
  return failure(
    `${folder} does not show ${own.name}: ${root.name} was mounted over it`,
    quote(['umount', above]),
    first,
    ...others,
  );
}

/** Says when the template, of which new datasets are clones, still belongs to another login: ZFS_USER was changed. */
export async function templateCheck(
  { name, mountpoint = '' }: Dataset,
  user: UserName,
  server: Host,
  byRoot: (command: string) => Mend,
): Promise<Check | undefined> {
  if (!mountpoint.startsWith('/')) return undefined;
  const folder = parseAbsolutePath(mountpoint, `the mountpoint of ${name}`, 'failed');
  const template = joinPath(folder, '.zfs', 'snapshot', zfs.TEMPLATE);
  if (!(await server.run(isOthersSnapshot(folder, template)))) return undefined;
  const says = `the snapshot ${name}@${zfs.TEMPLATE} does not belong to ${user}`;
  return { state: 'failure', says, mend: byRoot(zfs.retireTemplate(name)) };
}
