import { anyFile, makePrivate } from '../../command/folder';
import * as zfs from '../../command/zfs';
import type { Dataset } from '../../command/zfs-list';
import { asDriverError, DriverError } from '../../errors';
import type { Host } from '../../host/host';
import type { AbsolutePath, DatastoreId } from '../../opennebula/ids';
import type { ZfsConfig } from './config';
import { checkReadable, ifMissing, mounted, mountpointOf } from './vm-dataset';

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
  const { quotaBytes } = config;
  const quota = quotaBytes === undefined ? [] : [`quota=${quotaBytes || 'none'}`];
  const [found] = (await server.run(zfs.list(name, 'filesystem')).catch(ifMissing)) ?? [];
  if (found !== undefined) {
    for (const setting of found.quotaBytes === quotaBytes ? [] : quota)
      await server.run(zfs.set(config, name, setting));
    return mounted(found, server, config);
  }
  await ensureTemplate({ server, config });
  const mountpoint = await ensureClone({ server, config, datastoreId }, name, quota);
  await server.run(makePrivate(mountpoint)); // the files below are made so that every login may read them
  return mountpoint;
}

/** Makes sure of the snapshot of the admin's dataset of which new ones are clones: where the server was restored, it may be gone. */
async function ensureTemplate({ server, config }: Pick<Parent, 'server' | 'config'>): Promise<void> {
  const root = await server.run(zfs.list(config.dataset, 'all')).catch(ifMissing);
  if (root === undefined) {
    const [pool = config.dataset] = config.dataset.split('/');
    if ((await server.run(zfs.list(pool, 'filesystem')).catch(ifMissing)) === undefined) {
      throw new DriverError('notFound', `there is no pool ${pool}`, {
        host: server.name,
        hint: `Import it there as root: zpool import ${pool}`,
      });
    }
    throw new DriverError('notFound', `there is no dataset ${config.dataset}`, {
      host: server.name,
      hint: `Run there as root: zfs create ${config.dataset}; then give its folder to ${config.user}, by chown`,
    });
  }
  const own = root.find(({ name: one, snapshot }) => one === config.dataset && snapshot === undefined);
  if (own === undefined) return;
  checkReadable(own, config);
  const folder = mountpointOf(own, server);
  await server.run(zfs.checkOwner(folder, config.user));
  if (root.some(({ snapshot }) => snapshot === zfs.TEMPLATE)) return;
  const file = await server.run(anyFile(folder));
  if (file !== undefined) {
    throw new DriverError('failed', `${file} would be in every VM's dataset: they are clones of ${config.dataset}`, {
      host: server.name,
      hint: `Move all files of ${config.dataset} elsewhere, or name an empty dataset in ZFS_DATASET`,
    });
  }
  await server.run(zfs.makeTemplate(config, config.dataset));
}

/** Makes sure of the dataset of a VM. */
export async function ensureClone(parent: Parent, name: string, settings: readonly string[]): Promise<AbsolutePath> {
  const { server, config } = parent;
  const list = (): Promise<Dataset[] | undefined> => server.run(zfs.list(name, 'filesystem')).catch(ifMissing);
  const all = [`compression=${config.compression}`, ...settings];
  const clone = zfs.clone(config, config.dataset, name, all);
  let isOurs = true;
  await server.run(clone).catch(async (error: unknown) => {
    isOurs = ((await list()) ?? []).length === 0; // another action may have made it at the same moment
    if (!isOurs) return;
    ifMissing(error);
    await ensureTemplate(parent);
    await server.run(clone);
  });
  const [made] = (await list()) ?? [];
  if (made === undefined) throw new DriverError('failed', `the dataset ${name} was not made`, { host: server.name });
  const folder = await mounted(made, server, config);
  if (isOurs) await checkTemplate(name, folder, parent);
  return folder;
}

/** Checks the owner of a new clone, which is that of the template: after a change of ZFS_USER an older one. Throws `failed`. */
async function checkTemplate(name: string, folder: AbsolutePath, { server, config }: Parent): Promise<void> {
  const { dataset, user } = config;
  await server.run(zfs.checkOwner(folder, user)).catch(async (error: unknown) => {
    if (asDriverError(error).kind !== 'failed') throw error;
    await server.run(zfs.destroy(config, name)).catch(() => {}); // the next try is to meet the template again
    throw new DriverError('failed', `the snapshot ${dataset}@${zfs.TEMPLATE} does not belong to ${user}`, {
      host: server.name,
      hint: `Run there as root: ${zfs.retireTemplate(dataset)}; the next backup makes a new one`,
    });
  });
}
