import { DriverError } from '../errors';
import type { Element } from './document';
import { type ImageId, type JobId, parseImageId, parseIncrementId, parseJobId, parseVmId, type VmId } from './ids';
import { type Chain, type Increment, parseSource, toChain } from './increment';

/** How the disks of a backup are stored: qcow2 or raw files (`raw`), or exports of Ceph's RBD (`rbd`). */
export type BackupFormat = 'raw' | 'rbd';

/** A backup image: all backups of one chain, of one VM. */
export interface BackupImage {
  readonly id: ImageId;
  readonly vmId: VmId;
  readonly jobId: JobId | undefined;
  readonly format: BackupFormat;
  readonly chain: Chain;
}

/** Reads an IMAGE element of a message (contract, "What the messages hold"). Throws `message`. */
export function parseImage(image: Element): BackupImage {
  const vms = image.child('VMS').all('ID');
  const [vm] = vms;
  if (vm === undefined || vms.length > 1) {
    throw new DriverError('message', 'IMAGE/VMS must name exactly one VM', {
      hint: 'Only images of type BACKUP belong here; look at it with: oneimage show ID',
    });
  }
  return {
    id: parseImageId(image.textOf('ID'), 'IMAGE/ID'),
    vmId: parseVmId(vm.text.trim(), 'IMAGE/VMS/ID'),
    jobId: parseJobId(image.find('TEMPLATE')?.optionalTextOf('BACKUP_JOB_ID') ?? '', 'IMAGE/TEMPLATE/BACKUP_JOB_ID'),
    format: image.optionalTextOf('FORMAT') === 'rbd' ? 'rbd' : 'raw',
    chain: parseIncrements(image),
  };
}

/** The list of increments is right where it exists; IMAGE/SOURCE, which goes stale after a flatten, only without it. */
function parseIncrements(image: Element): Chain {
  const listed = image.find('BACKUP_INCREMENTS')?.all('INCREMENT') ?? [];
  const increments: Increment[] = listed.map((increment) => ({
    id: parseIncrementId(increment.textOf('ID'), 'an INCREMENT/ID'),
    source: parseSource(increment.textOf('SOURCE'), 'an INCREMENT/SOURCE'),
  }));
  const source = image.optionalTextOf('SOURCE');
  if (increments.length === 0 && source !== undefined && source !== '-') {
    increments.push({ id: parseIncrementId('0', 'ID'), source: parseSource(source, 'IMAGE/SOURCE') });
  }
  return toChain(
    increments.sort((a, b) => a.id - b.id),
    'IMAGE',
  );
}
