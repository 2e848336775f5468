import type { Writable } from 'node:stream';
import type { ChainDisk } from '../command/qemu-img';
import type { Host, Space } from '../host/host';
import type { Hosts } from '../host/hosts';
import type { Attributes } from '../opennebula/attributes';
import type { BackupUrl } from '../opennebula/backup-url';
import type { Datastore } from '../opennebula/datastore';
import type { AbsolutePath, DiskId, HostName, JobId, VmId } from '../opennebula/ids';
import type { BackupFormat, BackupImage } from '../opennebula/image';
import type { Chain } from '../opennebula/increment';
import type { VmToBackUp } from '../opennebula/vm';
import type { Examination } from './examination';
import type { Inventory } from './inventory';

/** What a backup is taken from: the staging folder on a hypervisor host that the transfer driver filled. */
export interface BackupSource {
  /** The host that holds the folder and transfers it: the VM's own, or the bridge host. */
  readonly host: HostName;
  readonly folder: AbsolutePath;
  /** The disks that must be in it. */
  readonly diskIds: readonly [DiskId, ...DiskId[]];
  readonly vm: VmToBackUp;
  /** The job that the chain belongs to, by which it is found again; of a new chain, the one that runs. */
  readonly jobId: JobId | undefined;
  /** Asks oned for the SOURCE of the backup that this one builds on; undefined when there is none, or oned does not say. */
  readonly parentSource: () => Promise<string | undefined>;
}

/** A backup that is stored completely. */
export interface StoredBackup {
  /** The engine's name for it. */
  readonly source: string;
  /** What it holds, in MB (2^20 bytes), rounded up. */
  readonly sizeMb: number;
  readonly format: BackupFormat;
}

/** One point in time of one VM: the chain up to it. */
export interface Point {
  readonly vmId: VmId;
  readonly jobId: JobId | undefined;
  readonly chain: Chain;
}

/** A file of a backup. */
export interface StoredFile {
  /** By which the downloader finds it. */
  readonly url: string;
  readonly path: AbsolutePath;
}

/** The files of one point in time. */
export interface PointFiles {
  /** The point as it is really stored: after a flatten of which oned never heard, its chain is another one. */
  readonly point: Point;
  readonly disks: ReadonlyMap<DiskId, StoredFile>;
  /** The state of the virtual TPM, when one was stored. */
  readonly tpm: StoredFile | undefined;
  /** Where the VM's document is stored, or should be: who reads one that is gone is told so. */
  readonly vmXml: AbsolutePath;
}

/** A disk of a point in time where it is stored, for programs that read it there. Its files are never to be written. */
export interface DiskInPlace {
  readonly host: Host;
  /** Its files, the full backup first. What their headers say of each other is meaningless. */
  readonly chain: readonly [ChainDisk, ...ChainDisk[]];
  /** Where such a program may have a folder for files of its own. */
  readonly temporary: AbsolutePath;
}

/** A chain after a flatten. */
export interface FlattenedChain {
  /** What the new full backup holds, in MB, rounded up. */
  readonly sizeMb: number;
  readonly chain: Chain;
}

/**
 * What a storage engine must do. All methods throw DriverError only; each may be killed at any moment and run again.
 * When the context's signal is aborted, a method ends with `cancelled`, and neither loses what was stored nor stores anew.
 * The conformance suite in test/conformance holds every engine to these duties.
 */
export interface Engine {
  /** The filesystem (or quota) that holds the datastore. Works before the first backup. */
  space(): Promise<Space>;

  /**
   * Stores the source as one new backup. It is visible completely or not at all; when this throws, nothing of it stays
   * but data that the next backup reuses or the next removal sweeps. Two at once never disturb each other.
   * Throws `notFound` when the backup that an increment builds on is gone, as far as oned or the storage tells.
   */
  backup(source: BackupSource): Promise<StoredBackup>;

  /** Removes one backup again that nobody was told of. What is not there is fine. */
  discard(vmId: VmId, jobId: JobId | undefined, source: string): Promise<void>;

  /**
   * The files of a point in time. Throws `notFound` when a backup of its chain is gone, and may throw `damaged` when the file
   * of a disk is, unless only others are asked for.
   */
  files(point: Point, only?: readonly DiskId[]): Promise<PointFiles>;

  /** Reads a small file of a point in time: vm.xml, the TPM's state; point and path as `files` gave them. Throws `notFound`. */
  read(point: Point, path: AbsolutePath): Promise<Buffer>;

  /** Removes all backups of an image, and none but those. Idempotent: what is gone already is fine. */
  remove(image: BackupImage): Promise<void>;

  /**
   * Merges the oldest backups so that `keepLast` remain; undefined when there are no more than that.
   * Killed at any moment, every increment that is to be kept restores to the same bytes, by the chain of before and of
   * after; the old backups go only when the new one is complete. Called again with the old chain, it answers the same.
   * Throws `notFound` when one that is to be merged is gone, and then changes nothing.
   */
  flatten(image: BackupImage, keepLast: number): Promise<FlattenedChain | undefined>;

  /** The point in time that a URL names. */
  pointOf(url: BackupUrl): Point;

  /** Writes the disk of a URL, as it was at that point, to `output`: qcow2, raw or an archive of rbd exports, as it is stored. */
  download(url: BackupUrl, output: Writable): Promise<void>;

  /** Removes what a download that was broken off kept for the next one. */
  endDownload(url: BackupUrl): Promise<void>;

  /** Where the disk of a URL, which is none of rbd, can be read without a copy; not there: only a download shows it. */
  inPlace?(url: BackupUrl): Promise<DiskInPlace>;

  /**
   * Creates what the first backup would create too, so that a wrong server is found before it, and returns what that is,
   * in words. What is there already stays as it is.
   */
  prepare?(): Promise<string>;

  /** What can be told and done without oned. */
  inventory?(): Inventory;

  /** All that its backups need, on every machine: for one who asks why they fail. Changes nothing. */
  examination?(): Examination;
}

/** What an engine gets to work with. */
export interface EngineContext {
  readonly datastore: Datastore;
  readonly hosts: Hosts;
  readonly signal: AbortSignal;
  /** Nothing is done, not even to files of the front-end: `hosts` are those of a dry run. */
  readonly dryRun?: boolean;
  /** Told how far a transfer is: bytes done and in all. */
  readonly progress: (doneBytes: number, totalBytes: number) => void;
  /** For the log, not for the user. */
  readonly log: (text: string) => void;
}

/** What is said of an attribute of a driver. What it may hold, only the reading of it says. */
export interface AttributeFact {
  readonly name: string;
  /** What it is, as in `Give ...`: `the name or address of the backup server`. */
  readonly what: string;
  readonly required?: boolean;
  readonly secret?: boolean;
  /** It names the server, or a place on it: another value is another datastore. */
  readonly isPlace?: boolean;
  /** Why it is not read, for one that only the stock driver of the same name knows. */
  readonly unread?: string;
}

/** An engine as a datastore driver: what `remotes/datastore/<name>/` is made of. */
export interface Driver {
  /** DS_MAD, and the folder of the scripts. */
  readonly name: string;
  /** The executable that the front-end's downloader.sh calls for its URLs (contract, "Backup URLs"); none for `ssh://`. */
  readonly downloader?: string;
  /** Its attributes: all that it reads, and those that users of the stock driver may look for. */
  readonly attributes: readonly AttributeFact[];
  /** Reads all of them, also of a template that is not registered yet. Throws `config`. */
  readonly readConfig: (attributes: Attributes) => unknown;
  /** Reads the datastore's attributes. Throws `config`, naming the attribute. */
  readonly open: (context: EngineContext) => Engine;
  /** How long a transfer of this datastore may stand still, in seconds. Throws `config`. */
  readonly stallSeconds: (datastore: Datastore) => number;
  /** Reads a backup URL of this driver. Throws `message`. */
  readonly parseUrl: (url: string) => BackupUrl;
}
