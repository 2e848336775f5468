import { factsOf } from './drivers';
import type { ConfAttribute } from './oned-conf';

/** Lines that oned.conf needs, and where. */
export interface MissingLines {
  readonly place: string;
  readonly lines: readonly string[];
}

/** The drivers of OpenNebula 7 besides those for backups: what a list begins with where there is none to add to. */
const OTHER_DRIVERS = ['dummy', 'fs', 'lvm', 'ceph', 'dev', 'iscsi_libvirt'];
const SYSTEM_DRIVERS = 'shared,ssh,ceph,fs_lvm_ssh';
/** The list of drivers in the arguments of one_datastore, which has this option in three forms. */
const LIST = /((?:^|\s)(?:-d\s*|--ds-types(?:\s+|=)))([^\s-]\S*)/;

/**
 * Returns what an oned.conf still needs for these drivers; nothing when it has it all. An empty oned.conf gives all
 * that is needed. A driver's block that is there already stays as it is, whatever attributes it requires: the drivers
 * check theirs themselves.
 */
export function missingFrom(conf: readonly ConfAttribute[], drivers: readonly string[]): MissingLines[] {
  return [...missingInList(conf, drivers), ...missingBlocks(conf, drivers), ...missingEncryption(conf, drivers)];
}

function missingInList(conf: readonly ConfAttribute[], drivers: readonly string[]): MissingLines[] {
  const block = conf.find(({ name, value }) => name === 'DATASTORE_MAD' && typeof value !== 'string');
  if (block === undefined) {
    const list = [...OTHER_DRIVERS, ...drivers].join(',');
    const lines = [
      'DATASTORE_MAD = [',
      '    EXECUTABLE = "one_datastore",',
      `    ARGUMENTS  = "-t 15 -d ${list} -s ${SYSTEM_DRIVERS}" ]`,
    ];
    return [{ place: 'anywhere; if the block is there, only add to its list after -d', lines }];
  }
  const args = membersOf(block).get('ARGUMENTS') ?? '';
  const [, option = '', list = ''] = LIST.exec(args) ?? [];
  const named = list.split(',');
  const missing = drivers.filter((driver) => !named.includes(driver));
  if (list === '' || missing.length === 0) return []; // without a list, one_datastore takes every folder for a driver
  const grown = args.replace(LIST, () => option + [list, ...missing].join(','));
  const place = `in DATASTORE_MAD (line ${block.line}), ARGUMENTS becomes`;
  return [{ place, lines: [`    ARGUMENTS  = "${grown.replaceAll('"', '\\"')}"`] }];
}

function missingBlocks(conf: readonly ConfAttribute[], drivers: readonly string[]): MissingLines[] {
  const blocks = conf.filter(({ name, value }) => name === 'DS_MAD_CONF' && typeof value !== 'string');
  const blockOf = (driver: string): ConfAttribute | undefined =>
    blocks.find((block) => membersOf(block).get('NAME')?.toLowerCase() === driver);
  const wrong = drivers.flatMap((driver) => {
    const block = blockOf(driver);
    if (block === undefined || isYes(membersOf(block).get('PERSISTENT_ONLY'))) return [];
    const place = `in DS_MAD_CONF of ${driver} (line ${block.line}), PERSISTENT_ONLY becomes`;
    return [{ place, lines: ['    PERSISTENT_ONLY = "YES"'] }];
  });
  const lines = drivers.filter((driver) => blockOf(driver) === undefined).flatMap(blockLines);
  return lines.length === 0 ? wrong : [...wrong, { place: behind(blocks, 'DS_MAD_CONF'), lines }];
}

function blockLines(driver: string, index: number): string[] {
  const block = [
    'DS_MAD_CONF = [',
    `    NAME = "${driver}",`,
    `    REQUIRED_ATTRS = "${factsOf(driver).required.join(',')}",`,
    '    PERSISTENT_ONLY = "YES" ]',
  ];
  return index === 0 ? block : ['', ...block];
}

function missingEncryption(conf: readonly ConfAttribute[], drivers: readonly string[]): MissingLines[] {
  const attributes = conf.filter(({ name }) => name === 'DATASTORE_ENCRYPTED_ATTR');
  const named = attributes.map(({ value }) => (typeof value === 'string' ? value.toUpperCase() : ''));
  const missing = drivers.flatMap((driver) => factsOf(driver).encrypted).filter((name) => !named.includes(name));
  const lines = missing.map((name) => `DATASTORE_ENCRYPTED_ATTR = "${name}"`);
  return lines.length === 0 ? [] : [{ place: behind(attributes, 'DATASTORE_ENCRYPTED_ATTR'), lines }];
}

function behind(attributes: readonly ConfAttribute[], name: string): string {
  const last = attributes.at(-1);
  return last === undefined ? 'anywhere' : `after line ${last.lastLine}, behind the last ${name}`;
}

function isYes(text = ''): boolean {
  return /^yes$/i.test(text);
}

function membersOf({ value }: ConfAttribute): ReadonlyMap<string, string> {
  return typeof value === 'string' ? new Map() : value;
}
