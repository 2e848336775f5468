import * as zfs from '../../command/zfs';
import type { Dataset } from '../../command/zfs-list';
import { DriverError } from '../../errors';
import type { Host } from '../../host/host';
import type { AbsolutePath, DatastoreId } from '../../opennebula/ids';
import type { ZfsConfig } from './config';
import { ifMissing, mountpointOf } from './vm-dataset';

/** What creating datasets needs. */
export interface Parent {
  readonly server: Host;
  readonly config: ZfsConfig;
  readonly datastoreId: DatastoreId;
}

/**
 * Makes sure of the datastore's dataset and its quota, and returns its mountpoint. Throws `notFound` or `failed` that says
 * what the admin has to do.
 *
 * A new dataset belongs to root, and changing that takes root. So new ones are clones of a snapshot of the admin's own
 * dataset, which the admin has given to the login: a clone's folder belongs to whom its origin's belonged.
 */
export async function ensureDatastore({ server, config, datastoreId }: Parent): Promise<AbsolutePath> {
  const name = `${config.dataset}/${datastoreId}`;
  const quota = config.quotaBytes === undefined ? 'none' : String(config.quotaBytes);
  const [found] = (await server.run(zfs.list(name, 'filesystem')).catch(ifMissing)) ?? [];
  if (found !== undefined) {
    if (found.quotaBytes !== (config.quotaBytes ?? 0)) await server.run(zfs.set(config, name, `quota=${quota}`));
    return mountpointOf(found, server);
  }
  const root = await server.run(zfs.list(config.dataset, 'all')).catch(ifMissing);
  if (root === undefined) {
    throw new DriverError('notFound', `there is no dataset ${config.dataset}`, {
      host: server.name,
      hint: `Run there as root: zfs create ${config.dataset}; then give its folder to ${config.user}, by chown`,
    });
  }
  const own = root.find(({ name: one, snapshot }) => one === config.dataset && snapshot === undefined);
  if (own !== undefined) {
    await server.run(zfs.checkOwner(mountpointOf(own, server), config.user));
    if (!root.some(({ snapshot }) => snapshot === zfs.TEMPLATE))
      await server.run(zfs.makeTemplate(config, config.dataset));
  }
  return ensureClone({ server, config, datastoreId }, name, [`quota=${quota}`]);
}

/** Makes sure of the dataset of a VM. */
export async function ensureClone(
  { server, config }: Parent,
  name: string,
  settings: readonly string[],
): Promise<AbsolutePath> {
  const list = (): Promise<Dataset[] | undefined> => server.run(zfs.list(name, 'filesystem')).catch(ifMissing);
  const all = [`compression=${config.compression}`, ...settings];
  await server.run(zfs.clone(config, config.dataset, name, all)).catch(async (error: unknown) => {
    if (((await list()) ?? []).length === 0) throw error; // another action may have made it at the same moment
  });
  const [made] = (await list()) ?? [];
  if (made === undefined) throw new DriverError('failed', `the dataset ${name} was not made`, { host: server.name });
  if (made.isMounted) return mountpointOf(made, server);
  // Linux lets only root mount, whatever "zfs allow" says (zfs-allow(8)).
  await server.run(zfs.mount({ ...config, sudo: true }, name)).catch(async (error: unknown) => {
    if ((await list())?.[0]?.isMounted !== true) throw error; // as above
  });
  return mountpointOf({ ...made, isMounted: true }, server);
}
