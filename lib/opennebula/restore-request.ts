import { DriverError } from '../errors';
import type { Element } from './document';
import {
  type DatastoreId,
  type DiskId,
  type IncrementId,
  parseDatastoreId,
  parseDiskId,
  parseIncrementId,
} from './ids';

/** What a restore is asked for (contract, "What the messages hold"). */
export interface RestoreRequest {
  /** The image datastore that the new images go to. */
  readonly destination: DatastoreId;
  /** The user of OpenNebula to whom the images and the template will belong. */
  readonly username: string;
  /** The base of all new names, if the user chose one. */
  readonly name: string | undefined;
  /** The point in time; undefined means the last. */
  readonly incrementId: IncrementId | undefined;
  /** The only disk to restore, then without a VM template; undefined means all. */
  readonly diskId: DiskId | undefined;
  readonly noIp: boolean;
  readonly noNic: boolean;
}

/** Reads the message of the restore action. Throws `message`. */
export function parseRestoreRequest(message: Element): RestoreRequest {
  const template = message.child('TEMPLATE');
  const incrementId = given(template, 'INCREMENT_ID');
  const diskId = given(template, 'DISK_ID');
  return {
    destination: parseDatastoreId(message.textOf('DESTINATION_DS_ID'), 'DESTINATION_DS_ID'),
    username: parseUsername(template.textOf('USERNAME')),
    name: template.optionalTextOf('NAME'),
    incrementId: incrementId === undefined ? undefined : parseIncrementId(incrementId, 'TEMPLATE/INCREMENT_ID'),
    diskId: diskId === undefined ? undefined : parseDiskId(diskId, 'TEMPLATE/DISK_ID'),
    noIp: isYes(template, 'NO_IP'),
    noNic: isYes(template, 'NO_NIC'),
  };
}

/** An id that may be missing, which -1 says too. */
function given(template: Element, name: string): string | undefined {
  const text = template.optionalTextOf(name);
  return text === '-1' ? undefined : text;
}

/** oned compares such flags without regard to case, and takes anything but YES for no. */
function isYes(template: Element, name: string): boolean {
  return template.optionalTextOf(name)?.toUpperCase() === 'YES';
}

/** A colon in the name would shift the fields of the session that acts as this user (session.ts). */
function parseUsername(text: string): string {
  if (!/[:\x00-\x1f\x7f]/.test(text)) return text;
  throw new DriverError(
    'message',
    `TEMPLATE/USERNAME is ${JSON.stringify(text.slice(0, 60))}, which is not the name of a user`,
  );
}
