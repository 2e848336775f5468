import { GUEST_PACKAGE, GUEST_PROGRAMS, listen, type Opening } from '../command/guestfish-start';
import { createAbove } from '../command/overlay';
import { readHeaders } from '../command/qcow2-header';
import type { ChainDisk } from '../command/qemu-img';
import type { DiskInPlace } from '../engine/engine';
import { chainUpToPoint } from '../engine/inventory-chains';
import { asDriverError, DriverError } from '../errors';
import type { Host } from '../host/host';
import { startKeeper } from '../host/keeper';
import { makeTemporaryFolder } from '../host/temporary-folder';
import type { BackupUrl } from '../opennebula/backup-url';
import { type AbsolutePath, type DiskId, joinPath, parseAbsolutePath, parseDiskId } from '../opennebula/ids';
import { Guest } from './guest';
import type { OpenedDatastore } from './open-datastore';
import { PartFile } from './part-file';
import { findPoint, POINT_OPTIONS, wantedPoint } from './point-options';
import { chooseDisks } from './restore-plan';
import type { ControlContext, Option } from './subcommand';

/** The options that say which disk of which backup is looked into. */
export const GUEST_OPTIONS: readonly Option[] = [
  ...POINT_OPTIONS,
  { name: 'disk', value: 'D', describe: 'The disk; need not be said where there is one only' },
  {
    name: 'filesystem',
    value: 'NAME',
    describe: 'This filesystem of the disk, as /dev/sda1; for one that holds no operating system',
  },
];

/** For `details`: what all that looks into disks has in common. */
export const GUEST_DETAILS =
  `The disk is read where it lies, by guestfish on the backup server; where that is not there, or
  the server cannot read what it holds, it is first copied to this machine, into $TMPDIR (else /var/tmp), and removed again.
  Nothing that is stored is changed.`.replace(/\s+/g, ' ');

/** A disk in a backup, while it is open. */
export interface GuestDisk {
  readonly guest: Guest;
  readonly vmId: number;
  readonly source: string;
  readonly diskId: DiskId;
}

/** Opens the disk that the options mean, lets `use` have it, and closes it however that ends. */
export async function withGuestDisk<T>(context: ControlContext, use: (disk: GuestDisk) => Promise<T>): Promise<T> {
  const { line, screen } = context;
  const wanted = wantedPoint(line);
  const wantedDisk = line.optional('disk', parseDiskId);
  const only = wantedDisk === undefined ? [] : [wantedDisk];
  const opened = await context.open(line.word('FILE|ID'));
  const { chosen } = await findPoint(opened, wanted, screen, only);
  const { vmId, jobId, source } = chosen.point;
  const files = await opened.engine().files({ vmId, jobId, chain: chainUpToPoint(chosen) }, only);
  const [diskId, another] = chooseDisks(files, only, source);
  if (diskId === undefined || another !== undefined) {
    const ids = [...files.disks.keys()].join(', ');
    throw new DriverError('usage', `backup ${source} holds several disks`, { hint: `Choose one with --disk: ${ids}` });
  }
  const url = opened.driver.parseUrl(files.disks.get(diskId)?.url ?? '');
  if (url.format === 'rbd')
    throw new DriverError('unsupported', `disk ${diskId} is stored as exports of rbd, which only Ceph can read`);
  const { host, temporary, chain } = await placeOf(url, opened, context);
  const folder = await makeTemporaryFolder(host, temporary, 'one-backup-files-');
  try {
    const disk = await layOver(chain ?? (await copy(url, folder.path, opened, context)), folder.path, host);
    const said = joinPath(folder.path, 'said');
    const { guest, end } = await start(host, { disk, folder: folder.path, said, accelerator: 'kvm' }, context);
    try {
      await guest.mount(line.text('filesystem'), screen);
      return await use({ guest, vmId, source, diskId });
    } finally {
      await end();
    }
  } finally {
    await folder.remove().catch((error) => screen.debug(asDriverError(error).message));
  }
}

/** Where the disk is read; without a chain it must be copied first. Throws `noProgram` when no machine can do it. */
async function placeOf(
  url: BackupUrl,
  { engine, hosts }: OpenedDatastore,
  { env }: Pick<ControlContext, 'env'>,
): Promise<Omit<DiskInPlace, 'chain'> & Partial<DiskInPlace>> {
  const missingOn = async (host: Host): Promise<string[]> => {
    const found = await host.programs(GUEST_PROGRAMS);
    return GUEST_PROGRAMS.filter((name) => !found.has(name));
  };
  const place = await engine().inPlace?.(url);
  if (place !== undefined && (await missingOn(place.host)).length === 0) return place;
  const { local } = hosts();
  const missing = await missingOn(local);
  const temporary = parseAbsolutePath(env.TMPDIR || '/var/tmp', 'TMPDIR', 'config');
  if (missing.length === 0) return { host: local, temporary };
  const [where, there] =
    place === undefined ? ['on this machine', ''] : [`on ${place.host.name}, nor on this machine`, ' on either'];
  throw new DriverError('noProgram', `${missing.join(' and ')} is not installed ${where}`, {
    hint: `Run as root${there}: ${GUEST_PACKAGE}`,
  });
}

/** Copies the disk into a folder of this machine. */
async function copy(
  url: BackupUrl,
  folder: AbsolutePath,
  { engine, hosts }: OpenedDatastore,
  { screen, signal }: Pick<ControlContext, 'screen' | 'signal'>,
): Promise<readonly [ChainDisk, ...ChainDisk[]]> {
  screen.note(`copying disk ${url.disk} into ${folder} for the time of this`);
  const part = new PartFile(folder, 'disk');
  await part
    .fill(
      (output) => engine().download(url, output),
      (bytes) => screen.transfer(bytes, 0),
    )
    .finally(() => (signal.aborted ? undefined : engine().endDownload(url)));
  const [disk] = await hosts().local.run(readHeaders([part.path]));
  if (disk === undefined) throw new DriverError('damaged', `disk ${url.disk} came empty`);
  return [disk];
}

/** Starts what reads the disk: where KVM is there but does not work, without it. */
async function start(
  host: Host,
  opening: Opening,
  context: Pick<ControlContext, 'screen' | 'signal'>,
): Promise<{ readonly guest: Guest; readonly end: () => Promise<void> }> {
  const { screen, signal } = context;
  const keeper = await startKeeper(host, listen(opening));
  const end = (): Promise<void> => keeper.end().catch((error) => screen.debug(asDriverError(error).message));
  const guest = new Guest(host, { pid: keeper.said ?? '', said: opening.said });
  try {
    await guest.launch();
    return { guest, end };
  } catch (error) {
    await end();
    if (signal.aborted || opening.accelerator === 'tcg') throw error;
    screen.debug(`${asDriverError(error).message} Trying without KVM.`);
    return start(host, { ...opening, accelerator: 'tcg' }, context);
  }
}

/** Makes one plain qcow2 that shows what a chain shows. */
async function layOver(
  chain: readonly [ChainDisk, ...ChainDisk[]],
  folder: AbsolutePath,
  host: Host,
): Promise<AbsolutePath> {
  let below: AbsolutePath | undefined;
  for (const [index, disk] of chain.entries()) {
    const above = joinPath(folder, `above.${index}`);
    await host.run(createAbove(above, disk, below));
    below = above;
  }
  return below as AbsolutePath;
}
