import { sha256 } from '../command/checksum';
import { rsync, transferredBytes } from '../command/rsync';
import { type Throttle, throttle } from '../command/throttle';
import { DriverError } from '../errors';
import type { Host } from '../host/host';
import { type AbsolutePath, type HostName, joinPath, type UserName } from '../opennebula/ids';
import type { ManifestFile } from '../opennebula/manifest';
import type { EngineContext } from './engine';
import type { Filling } from './filling';
import type { Staged } from './staging';

/** What is transferred, and where to. */
export interface Transfer {
  /** The host that holds the staging folder. */
  readonly host: Host;
  /** The staging folder. */
  readonly folder: AbsolutePath;
  readonly staged: Staged;
  readonly server: Host;
  readonly filling: Filling;
}

/** How it is transferred. */
export interface TransferConfig {
  readonly server: HostName;
  readonly user: UserName;
  /** Options of rsync, as parseRsyncArgs lets them pass. */
  readonly args: readonly string[];
  readonly throttle: Throttle;
}

/**
 * Sends a staging folder with rsync, straight from its host to the backup server, and computes the checksums beside it.
 * Returns the files with their checksums. Throws what rsync failed with, or `failed` when not everything arrived.
 */
export async function transfer(
  what: Transfer,
  config: TransferConfig,
  context: Pick<EngineContext, 'progress'>,
): Promise<ManifestFile[]> {
  const hashes = await send(what, config, context);
  await compare(what);
  return what.staged.files.map((file, index) => ({ ...file, sha256: hashes[index] as string }));
}

/** Transfers the files and computes their checksums beside it; when one of the two fails, the other one is stopped. */
async function send(
  { host, folder, staged, filling }: Transfer,
  config: TransferConfig,
  { progress }: Pick<EngineContext, 'progress'>,
): Promise<string[]> {
  const files = staged.files.map(({ name }) => joinPath(folder, name));
  const limits = throttle(config.throttle, folder);
  const { server, user, args } = config;
  const sending = rsync({
    ...{ files, args, to: { server, user }, throttle: limits },
    folder: filling.path,
    resume: filling.resumes,
  });
  const stop = new AbortController();
  const orStop = async <T>(work: Promise<T>): Promise<T> =>
    work.catch((error) => {
      stop.abort();
      throw error;
    });
  const onLine = (line: string): void => {
    const done = transferredBytes(line);
    if (done !== undefined) progress(Math.min(done, staged.totalBytes), staged.totalBytes);
  };
  const [hashed, sent] = await Promise.allSettled([
    orStop(host.run(sha256(files, limits), { until: stop.signal })),
    orStop(host.run(sending, { until: stop.signal, onLine })),
  ]);
  if (sent.status === 'rejected') throw sent.reason;
  if (hashed.status === 'rejected') throw hashed.reason;
  return hashed.value;
}

/** The options are the admin's: whether everything is there is not left to them. Throws `failed`. */
async function compare({ staged, filling, server, host }: Transfer): Promise<void> {
  const dryRun = staged.files.map(({ name, sizeBytes }) => ({ name, sizeBytes, type: 'file' as const, modifiedAt: 0 }));
  const held = await server.files.list(filling.path, dryRun);
  for (const { name, sizeBytes } of staged.files) {
    const found = held.find((file) => file.name === name && file.type === 'file');
    if (found?.sizeBytes === sizeBytes) continue;
    const what = found === undefined ? 'is not there' : `has ${found.sizeBytes} bytes, not ${sizeBytes}`;
    throw new DriverError('failed', `the backup was not stored: after the transfer ${name} ${what}`, {
      host: server.name,
      hint: `See the options of rsync, and whether somebody changed the staging folder on ${host.name}; then try again`,
    });
  }
}
