import { DriverError } from '../errors';
import { Element } from './document';
import {
  type DiskId,
  type HostName,
  type ImageId,
  type IncrementId,
  parseDiskId,
  parseHostName,
  parseImageId,
  parseIncrementId,
  parseVmId,
  type VmId,
} from './ids';

/** What the backup action needs to know of a VM. */
export interface VmToBackUp {
  readonly id: VmId;
  readonly name: string;
  /** The host that transfers instead of the VM's own, when the transfer driver chose one. */
  readonly bridgeHost: HostName | undefined;
  /** The number that this backup has in its chain: 0 for a full one. */
  readonly incrementId: IncrementId;
  /** The increment that this one builds on; undefined for a full backup. */
  readonly parentId: IncrementId | undefined;
  /** A full backup that no increment will ever continue. */
  readonly isStandalone: boolean;
  /** The virtual size of each disk in MB, as far as the message tells it. */
  readonly diskSizesMb: ReadonlyMap<DiskId, number>;
  /** The image of the chain that this backup continues. */
  readonly chainImageId: ImageId | undefined;
}

/** Reads VM of a backup message. Throws `message`. */
export function parseVmToBackUp(vm: Element): VmToBackUp {
  const config = vm.child('BACKUPS').child('BACKUP_CONFIG');
  const last = config.optionalTextOf('LAST_INCREMENT_ID') ?? '-1';
  const continues = config.optionalTextOf('MODE') === 'INCREMENT' && last !== '-1';
  const parentId = continues ? parseIncrementId(last, 'BACKUP_CONFIG/LAST_INCREMENT_ID') : undefined;
  const image = config.optionalTextOf('INCREMENTAL_BACKUP_ID') ?? '-1';
  return {
    id: parseVmId(vm.textOf('ID'), 'VM/ID'),
    name: vm.optionalTextOf('NAME') ?? '',
    bridgeHost: parseBridgeHost(vm),
    incrementId: parseIncrementId(String((parentId ?? -1) + 1), 'the id of this increment'),
    parentId,
    isStandalone: config.optionalTextOf('MODE') !== 'INCREMENT',
    diskSizesMb: diskSizesMb(vm),
    chainImageId: continues && image !== '-1' ? parseImageId(image, 'INCREMENTAL_BACKUP_ID') : undefined,
  };
}

function diskSizesMb(vm: Element): Map<DiskId, number> {
  const disks = vm.find('TEMPLATE')?.all('DISK') ?? [];
  const sized = disks.filter((disk) => /^[0-9]{1,15}$/.test(disk.optionalTextOf('SIZE') ?? ''));
  return new Map(sized.map((disk) => [parseDiskId(disk.textOf('DISK_ID'), 'a DISK_ID'), Number(disk.textOf('SIZE'))]));
}

/** The bridge host that oned recorded for the running backup (BACKUP_CONFIG/LAST_BRIDGE), if any. Throws `message`. */
export function parseBridgeHost(vm: Element): HostName | undefined {
  const bridge = vm.find('BACKUPS')?.find('BACKUP_CONFIG')?.optionalTextOf('LAST_BRIDGE');
  return bridge === undefined ? undefined : parseHostName(bridge, 'BACKUP_CONFIG/LAST_BRIDGE');
}

/** Parses a stored vm.xml, which holds the VM's document in base64 (contract, "What each action means"). Throws `damaged`. */
export function parseStoredVm(stored: Uint8Array): Element {
  try {
    const vm = Element.parseMessage(stored);
    if (vm.name === 'VM') return vm;
    throw new DriverError('message', `its root element is ${vm.name}`);
  } catch (cause) {
    throw new DriverError('damaged', `the stored vm.xml is not the document of a VM: ${(cause as Error).message}`, {
      cause,
    });
  }
}

/** The virtual size of a disk in MB, from the stored document of its VM. Throws `notFound` or `damaged`. */
export function virtualSizeMb(vm: Element, diskId: DiskId): number {
  const disk = vm
    .child('TEMPLATE')
    .all('DISK')
    .find((one) => parseDiskId(one.textOf('DISK_ID'), 'a DISK_ID of vm.xml') === diskId);
  const size = disk?.optionalTextOf('SIZE');
  if (size === undefined) throw new DriverError('notFound', `the stored vm.xml has no size for disk ${diskId}`);
  if (!/^[0-9]{1,15}$/.test(size))
    throw new DriverError('damaged', `the stored vm.xml has a bad SIZE for disk ${diskId}`);
  return Number(size);
}
