import { DriverError } from '../errors';

/** A header, and what follows it, is a whole number of blocks. */
export const BLOCK_BYTES = 512;

/** What a header of a tar archive says (POSIX pax and ustar; GNU tar's manual, "Basic Tar Format"). Names are bytes, as latin1. */
export interface TarEntry {
  readonly name: string;
  /** What it links to, for a link. */
  readonly target: string;
  /** The last three say something of the entry that follows. */
  readonly type: 'file' | 'folder' | 'link' | 'hardlink' | 'device' | 'longName' | 'longTarget' | 'pax';
  readonly mode: number;
  readonly sizeBytes: number;
  /** Seconds since 1970. */
  readonly modifiedAt: number;
}

const TYPES: Readonly<Record<string, TarEntry['type']>> = {
  '\0': 'file',
  '0': 'file',
  '1': 'hardlink',
  '2': 'link',
  '3': 'device',
  '4': 'device',
  '5': 'folder',
  '6': 'device', // a pipe, which is none to us either
  '7': 'file',
  L: 'longName',
  K: 'longTarget',
  x: 'pax',
};

/** Reads a header; undefined for a block of zeros, which ends an archive. Throws `damaged`. */
export function parseTarHeader(block: Buffer): TarEntry | undefined {
  if (block.every((byte) => byte === 0)) return undefined;
  const type = TYPES[block.toString('latin1', 156, 157)];
  const sum = block.reduce((total, byte, index) => total + (index >= 148 && index < 156 ? 0x20 : byte), 0);
  if (sum !== numberAt(block, 148, 8) || type === undefined)
    throw new DriverError('damaged', 'the archive of a folder is not of the form that guestfish writes');
  const magic = block.toString('latin1', 257, 263);
  const prefix = magic === 'ustar\0' ? textAt(block, 345, 155) : ''; // GNU tar keeps other things there
  const name = textAt(block, 0, 100);
  return {
    name: prefix === '' ? name : `${prefix}/${name}`,
    target: textAt(block, 157, 100),
    type,
    mode: numberAt(block, 100, 8),
    sizeBytes: numberAt(block, 124, 12),
    modifiedAt: numberAt(block, 136, 12),
  };
}

/** The entry with what pax records before it say: `27 path=...`, each with its length. */
export function withPax(entry: TarEntry, records: Buffer): TarEntry {
  let changed = entry;
  for (let at = 0; at < records.length; ) {
    const [, digits = '', key] = /^([0-9]+) ([^=]*)=/.exec(records.toString('latin1', at, at + 300)) ?? [];
    const length = Number(digits);
    if (key === undefined || length === 0) break;
    const value = records.toString('latin1', at + digits.length + key.length + 2, at + length - 1);
    if (key === 'path') changed = { ...changed, name: value };
    if (key === 'linkpath') changed = { ...changed, target: value };
    if (key === 'size') changed = { ...changed, sizeBytes: Number(value) };
    if (key === 'mtime') changed = { ...changed, modifiedAt: Math.floor(Number(value)) };
    at += length;
  }
  return changed;
}

/** Up to the first NUL. */
export function untilNul(text: string): string {
  const end = text.indexOf('\0');
  return end === -1 ? text : text.slice(0, end);
}

function textAt(block: Buffer, at: number, length: number): string {
  return untilNul(block.toString('latin1', at, at + length));
}

/** Octal digits, or where these are too few a number in base 256. */
function numberAt(block: Buffer, at: number, length: number): number {
  const first = block[at] ?? 0;
  if ((first & 0x80) === 0) return Number.parseInt(textAt(block, at, length).trim() || '0', 8);
  const bytes = block.subarray(at, at + length);
  const isNegative = (first & 0x40) !== 0;
  return isNegative ? 0 : [...bytes.subarray(1)].reduce((value, byte) => value * 256 + byte, first & 0x3f);
}
