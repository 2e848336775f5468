import type { DriverError } from '../errors';
import type { DiskId, ImageId, IncrementId, JobId, VmId } from '../opennebula/ids';
import type { Manifest } from '../opennebula/manifest';

/** A disk of a stored backup. */
export interface StoredDisk {
  readonly id: DiskId;
  /** The name of its file in the backup. */
  readonly file: string;
  /** What its file takes, or took when it was stored. */
  readonly sizeBytes?: number | undefined;
  /** Its size as the VM saw it, in MB. */
  readonly virtualSizeMb?: number | undefined;
}

/** Something that can be seen to be wrong with a file of a backup: it is gone, cut short or no manifest. */
export interface Defect {
  readonly file: string;
  /** The disk that it holds; undefined: nothing that a disk is restored from. */
  readonly diskId: DiskId | undefined;
  readonly what: string;
}

/** One backup as the server itself knows it; what its list does not tell is undefined. */
export interface StoredPoint {
  readonly vmId: VmId;
  readonly vmName?: string | undefined;
  readonly jobId?: JobId | undefined;
  readonly imageId?: ImageId | undefined;
  readonly source: string;
  /** Where it is kept, by name: what is kept in different places never builds on each other. */
  readonly repository: string;
  readonly incrementId?: IncrementId | undefined;
  /** The same for all of a chain, and for no other one, where the engine notes it. */
  readonly chain?: string | undefined;
  /** The number of the increment that it builds on. */
  readonly parentId?: IncrementId | undefined;
  readonly type: 'FULL' | 'INCREMENT' | 'UNKNOWN';
  /** When the disks were as they are in it, in milliseconds since 1970. */
  readonly timeMs: number;
  readonly storedBytes?: number | undefined;
  readonly disks: readonly StoredDisk[];
  /** The sources that a flatten merged into it. */
  readonly replaces: readonly string[];
  readonly hasManifest: boolean;
  /** Restores alone, although it is an increment. */
  readonly standsAlone: boolean;
  readonly defects: readonly Defect[];
}

/** A backup that was stored and that nobody removed through its engine, and that is gone. */
export interface LostPoint {
  readonly vmId: VmId;
  readonly source: string;
  /** Unless the note is damaged. */
  readonly incrementId: IncrementId | undefined;
  readonly diskIds: readonly DiskId[];
  /** The file on the backup server that says so: without it, nothing is missed. */
  readonly note: string;
}

/** A file of a stored backup. */
export interface ContentFile {
  readonly name: string;
  readonly sizeBytes: number;
  /** Of the manifest. */
  readonly sha256?: string | undefined;
  readonly virtualSizeMb?: number | undefined;
}

/** What a stored backup holds, looked at more closely than in the list. */
export interface PointContent {
  /** With all that could be found out. */
  readonly point: StoredPoint;
  readonly manifest: Manifest | undefined;
  /** Where it is on the backup server. */
  readonly place: string;
  readonly files: readonly ContentFile[];
}

/** Something wrong with a stored backup. */
export interface Damage {
  readonly vmId: VmId;
  readonly jobId: JobId | undefined;
  /** The backup; undefined: no backup that is known needs what is damaged. */
  readonly source: string | undefined;
  /** The disk; undefined: something else of it, or all. */
  readonly diskId: DiskId | undefined;
  /** Only this file of it, where that is known. */
  readonly file?: string | undefined;
  /** It is not known which of the backups that were checked need what is damaged. */
  readonly isUnclear?: boolean | undefined;
  readonly what: string;
}

/** How much is read by a check. */
export interface CheckExtent {
  /** The share of the data that is read, from 0 (none) to 1. */
  readonly share: number;
  /** Which part that is: after as many runs as there are parts, with seeds one after the other, all is read. */
  readonly seed: number;
  /** KiB/s. */
  readonly bandwidthLimitKib: number | undefined;
  /** Only this disk, where an engine reads files one by one. */
  readonly diskId?: DiskId | undefined;
}

/** A part of a check that is done as a whole. */
export interface CheckItem {
  /** The same in each run, for one that goes on. */
  readonly id: string;
  /** For people: `VM 7, increment 2`. */
  readonly about: string;
  /** The backups that it checks. */
  readonly points: readonly StoredPoint[];
  /** The files whose checksum it compares with that of a manifest, where an engine does so; none: it has no sums to go by. */
  readonly summed?: readonly string[];
  readonly run: () => Promise<readonly Damage[]>;
}

/** Something that a dead action left, or that nobody needs any more. */
export interface Leftover {
  /** What it is, for people. */
  readonly what: string;
  readonly where: string;
  readonly bytes?: number | undefined;
  readonly modifiedMs?: number | undefined;
  /** The next action goes on with it: it is no harm that it is there. */
  readonly isOfUse?: boolean;
  /** Removes it, unless somebody uses it by now. */
  readonly remove: () => Promise<void>;
}

/**
 * Is told what a part of the datastore failed with, where the rest is done all the same; without one it is thrown. A failure of
 * all parts, or of the server, is thrown in any case.
 */
export type TellFailure = (failure: DriverError) => void;

/** What an engine tells and does without oned. All methods throw DriverError only. */
export interface Inventory {
  /**
   * All backups of the datastore, or of one VM, in no order. It takes hardly longer than the engine's own list: nothing is
   * read of each backup. Throws `notFound` when the datastore's folder is not there.
   */
  points(vmId?: VmId, tell?: TellFailure): Promise<readonly StoredPoint[]>;

  /** Whether nothing is stored, without looking at what is. Throws `notFound` when the datastore's folder is not there. */
  isEmpty(): Promise<boolean>;

  /** Looks at one backup: its files, its manifest, and whether it is an increment if nothing else tells. Throws `notFound`. */
  inspect(point: StoredPoint): Promise<PointContent>;

  /** A full backup is downloaded as it lies there, so that it has the checksum of the manifest. */
  readonly sendsAsStored: boolean;

  /** The stock driver may have written into what is stored: of what is not as its manifest says, `inspect` knows more. */
  readonly isWrittenInto?: boolean;

  /** What can be checked of these backups, each part on its own. */
  checks(points: readonly StoredPoint[], extent: CheckExtent): Promise<readonly CheckItem[]>;

  /** Of the datastore or of one VM, the backups that are gone as only the engine's own notes tell. */
  lost?(vmId?: VmId): Promise<readonly LostPoint[]>;

  /** What dead actions left, on the server and here. */
  leftovers(tell?: TellFailure): Promise<readonly Leftover[]>;

  /** Removes exactly these backups, and what only they needed. What is gone is fine. */
  removePoints(points: readonly StoredPoint[]): Promise<void>;

  /** Gives back the room of what no backup needs, in each repository; `dryRun`: only says how much. Tells a line for each. */
  prune?(dryRun: boolean, tell?: TellFailure): Promise<readonly string[]>;
}
