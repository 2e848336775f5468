import type { ConfAttribute } from './oned-conf';

/** What oned.conf has to say of a driver. */
export interface DriverOfConf {
  readonly name: string;
  /** Attributes without which oned refuses to create a datastore. */
  readonly required: readonly string[];
  /** Secret attributes, which oned stores encrypted when oned.conf names them. */
  readonly encrypted: readonly string[];
}

/** Lines that oned.conf needs, and where. */
export interface MissingLines {
  readonly kind: 'list' | 'block' | 'wrong block' | 'encryption';
  readonly place: string;
  readonly lines: readonly string[];
  /** The lines in which something else has to stand, and what instead of what. */
  readonly change?: { readonly first: number; readonly last: number; readonly from: string; readonly to: string };
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
export function missingFrom(conf: readonly ConfAttribute[], drivers: readonly DriverOfConf[]): MissingLines[] {
  return [...missingInList(conf, drivers), ...missingBlocks(conf, drivers), ...missingEncryption(conf, drivers)];
}

function missingInList(conf: readonly ConfAttribute[], drivers: readonly DriverOfConf[]): MissingLines[] {
  const block = conf.find(({ name, value }) => name === 'DATASTORE_MAD' && typeof value !== 'string');
  if (block === undefined) {
    const list = [...OTHER_DRIVERS, ...drivers.map(({ name }) => name)].join(',');
    const lines = [
      'DATASTORE_MAD = [',
      '    EXECUTABLE = "one_datastore",',
      `    ARGUMENTS  = "-t 15 -d ${list} -s ${SYSTEM_DRIVERS}" ]`,
    ];
    return [{ kind: 'list', place: 'anywhere; if the block is there, only add to its list after -d', lines }];
  }
  const args = membersOf(block).get('ARGUMENTS') ?? '';
  const [, option = '', list = ''] = LIST.exec(args) ?? [];
  const named = list.split(',');
  const missing = drivers.map(({ name }) => name).filter((name) => !named.includes(name));
  if (list === '' || missing.length === 0) return []; // without a list, one_datastore takes every folder for a driver
  const to = [list, ...missing].join(',');
  const grown = args.replace(LIST, () => option + to);
  const place = `in DATASTORE_MAD (line ${block.line}), ARGUMENTS becomes`;
  const change = { first: block.line, last: block.lastLine, from: list, to };
  return [{ kind: 'list', place, lines: [`    ARGUMENTS  = "${grown.replaceAll('"', '\\"')}"`], change }];
}

function missingBlocks(conf: readonly ConfAttribute[], drivers: readonly DriverOfConf[]): MissingLines[] {
  const blocks = conf.filter(({ name, value }) => name === 'DS_MAD_CONF' && typeof value !== 'string');
  const blockOf = (driver: string): ConfAttribute | undefined =>
    blocks.find((block) => membersOf(block).get('NAME')?.toLowerCase() === driver);
  const wrong = drivers.flatMap(({ name }): MissingLines[] => {
    const block = blockOf(name);
    if (block === undefined || isYes(membersOf(block).get('PERSISTENT_ONLY'))) return [];
    const place = `in DS_MAD_CONF of ${name} (line ${block.line}), PERSISTENT_ONLY becomes`;
    return [{ kind: 'wrong block', place, lines: ['    PERSISTENT_ONLY = "YES"'] }];
  });
  const lines = drivers.filter(({ name }) => blockOf(name) === undefined).flatMap(blockLines);
  return lines.length === 0 ? wrong : [...wrong, { kind: 'block', place: behind(blocks, 'DS_MAD_CONF'), lines }];
}

function blockLines({ name, required }: DriverOfConf, index: number): string[] {
  const block = [
    'DS_MAD_CONF = [',
    `    NAME = "${name}",`,
    `    REQUIRED_ATTRS = "${required.join(',')}",`,
    '    PERSISTENT_ONLY = "YES" ]',
  ];
  return index === 0 ? block : ['', ...block];
}

function missingEncryption(conf: readonly ConfAttribute[], drivers: readonly DriverOfConf[]): MissingLines[] {
  const attributes = conf.filter(({ name }) => name === 'DATASTORE_ENCRYPTED_ATTR');
  const named = attributes.map(({ value }) => (typeof value === 'string' ? value.toUpperCase() : ''));
  const missing = drivers.flatMap(({ encrypted }) => encrypted).filter((name) => !named.includes(name));
  const lines = missing.map((name) => `DATASTORE_ENCRYPTED_ATTR = "${name}"`);
  if (lines.length === 0) return [];
  return [{ kind: 'encryption', place: behind(attributes, 'DATASTORE_ENCRYPTED_ATTR'), lines }];
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
