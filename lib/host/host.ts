import type { Writable } from 'node:stream';
import type { Command } from '../command/command';
import type { AbsolutePath } from '../opennebula/ids';

/** The size of a filesystem, in bytes. `free` is what an ordinary user may still write. */
export interface Space {
  readonly totalBytes: number;
  readonly freeBytes: number;
}

/** One entry of a folder, the link itself where it is a link. */
export interface FileEntry {
  readonly name: string;
  readonly type: 'file' | 'folder' | 'link' | 'other';
  readonly sizeBytes: number;
  /** Seconds since 1970. */
  readonly modifiedAt: number;
}

/** A vm.xml, a TPM state or a manifest is smaller than this. */
export const SMALL_FILE_BYTES = 64 * 2 ** 20;

/** Files of a host. Every method throws `notFound`, `noSpace` or `failed` with the path and the host in the message. */
export interface Files {
  /** The filesystem that holds the path, or its nearest existing parent. */
  space(path: AbsolutePath): Promise<Space>;
  /** The entries of a folder; a dry run goes on with `dryRun`. */
  list(path: AbsolutePath, dryRun: readonly FileEntry[]): Promise<FileEntry[]>;
  /** Reads a small file, of at most SMALL_FILE_BYTES; a dry run goes on with `dryRun`. */
  read(path: AbsolutePath, dryRun: string): Promise<Buffer>;
  /** Writes a small file so that it is either complete or not there: temporary name, then rename. Mode 0600. */
  write(path: AbsolutePath, text: string): Promise<void>;
  /** Creates a folder and its parents; one that exists is fine. */
  makeFolder(path: AbsolutePath): Promise<void>;
  rename(from: AbsolutePath, to: AbsolutePath): Promise<void>;
  /** Removes a file or a folder with all it holds; what is not there is fine. */
  remove(path: AbsolutePath): Promise<void>;
}

/** How a command is run, beside what it is. */
export interface RunOptions {
  /** Gets each line of stdout as it comes; stdout is then not kept for `parse`, but for its last line. */
  readonly onLine?: (line: string) => void;
  /** Gets stdout as it comes; stdout is then not kept. When it closes early, the program is stopped. */
  readonly output?: Writable;
  /** Told of each piece of stdout that goes to `output`: its size in bytes. */
  readonly onData?: (bytes: number) => void;
  /** Ends a program that would go on for ever; that it then ends is not a failure. */
  readonly until?: AbortSignal;
  /** For cleaning up: runs although the action was aborted, but no longer than this, in milliseconds. */
  readonly evenAbortedMs?: number;
}

/** A machine: the front-end itself, or one reached by SSH. */
export interface Host {
  /** As the operator knows it. */
  readonly name: string;
  readonly files: Files;
  /**
   * Runs a command under supervision: it ends with the action, with its connection, and when it stalls.
   * Throws what the command's `classify` says, else `noProgram`, `failed`, `stalled`, `cancelled` or `unreachable`.
   */
  run<T>(command: Command<T>, options?: RunOptions): Promise<T>;
  /** Which of these programs the host can run: none when it gives no shell (an SFTP-only account). Runs nothing else. */
  programs(names: readonly string[]): Promise<ReadonlySet<string>>;
  /** Tells a dry run of a command that is run only under a condition; does nothing otherwise. */
  mention(command: Command<unknown>, condition: string): void;
}
