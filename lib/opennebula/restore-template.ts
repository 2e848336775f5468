import type { Element } from './document';
import { type DatastoreId, type DiskId, type ImageId, type JobId, parseDiskId } from './ids';
import { formatTemplate, type TemplateEntry, type VectorAttributes } from './template-text';

/** An image that oned is to fill from a backup. */
export interface ImageFromBackup {
  /** The base of its name: what the user chose, or `<VM_ID>-<SOURCE>`. */
  readonly base: string;
  readonly diskId: DiskId;
  /** The backup URL of the disk (backup-url.ts). */
  readonly url: string;
  /** The backup datastore, whose driver knows the URL. */
  readonly datastoreId: DatastoreId;
  readonly jobId: JobId | undefined;
}

/** Returns the template of an image for one.image.allocate (contract, "oned's API"). Disk 0 is the one that boots. */
export function imageTemplate({ base, diskId, url, datastoreId, jobId }: ImageFromBackup): string {
  const job: TemplateEntry[] = jobId === undefined ? [] : [['BACKUP_JOB_ID', String(jobId)]];
  return formatTemplate([
    ['NAME', imageName({ base, diskId })],
    ['TYPE', diskId === 0 ? 'OS' : 'DATABLOCK'],
    ['PATH', url],
    ['FROM_BACKUP_DS', String(datastoreId)],
    ...job,
  ]);
}

/** An image that is to be made of a file. */
export interface ImageFromFile extends Pick<ImageFromBackup, 'base' | 'diskId'> {
  readonly path: string;
  readonly format: 'qcow2' | 'raw';
}

/** Returns the name of an image that takes the place of a disk. */
export function imageName({ base, diskId }: Pick<ImageFromBackup, 'base' | 'diskId'>): string {
  return `${base}-disk-${diskId}`;
}

/** Returns the template of an image for `oneimage create`, which makes it of a file of the front-end. */
export function fileImageTemplate({ base, diskId, path, format }: ImageFromFile): string {
  return formatTemplate([
    ['NAME', imageName({ base, diskId })],
    ['TYPE', diskId === 0 ? 'OS' : 'DATABLOCK'],
    ['PATH', path],
    ['FORMAT', format],
  ]);
}

/** How a VM is restored. */
export interface RestoreOptions {
  /** The name of the new template. */
  readonly name: string;
  /** The new image of each disk that was in the backup: its id or, before it is made, its name. */
  readonly images: ReadonlyMap<DiskId, ImageId | string>;
  /** Without the addresses of the NICs: a copy can run beside the original. */
  readonly noIp: boolean;
  /** Without NICs. */
  readonly noNic: boolean;
  /** The stored state of the VM's TPM (disk.tpm.0) in base64. */
  readonly tpmState?: string | undefined;
}

const words = (text: string): ReadonlySet<string> => new Set(text.split(/\s+/));

// What belongs to the VM that was, and would bind or break a new one: the lists of the contract, "oned's API".
const TOP_LEVEL = words(
  'AUTOMATIC_DS_REQUIREMENTS AUTOMATIC_NIC_REQUIREMENTS AUTOMATIC_REQUIREMENTS ERROR SECURITY_GROUP_RULE TEMPLATE_ID TM_MAD_SYSTEM VMID',
);
const DISK =
  words(`ALLOW_ORPHANS CLONE CLONE_TARGET CLUSTER_ID DATASTORE DATASTORE_ID DISK_ID DISK_SNAPSHOT_TOTAL_SIZE DISK_TYPE DRIVER FORMAT IMAGE
  IMAGE_STATE IMAGE_UID IMAGE_UNAME LN_TARGET OPENNEBULA_MANAGED ORIGINAL_SIZE PERSISTENT READONLY SAVE SIZE SOURCE TARGET TM_MAD TYPE`);
const NIC = words(
  'AR_ID BRIDGE BRIDGE_TYPE CLUSTER_ID NAME NETWORK_ID NIC_ID PHYDEV TARGET VLAN_ID VLAN_TAGGED_ID VN_MAD',
);
const PCI = words('ADDRESS BUS DOMAIN FUNCTION NUMA_NODE PCI_ID SLOT VM_ADDRESS VM_BUS VM_DOMAIN VM_FUNCTION VM_SLOT');
const OTHERS: ReadonlyMap<string, ReadonlySet<string>> = new Map([
  ['GRAPHICS', words('PORT')],
  ['NUMA_NODE', words('CPUS MEMORY_NODE_ID NODE_ID')],
  ['OS', words('UUID')],
]);
const IP6 = ['IP6', 'IP6_ULA', 'IP6_GLOBAL'];

/**
 * Returns the template of a VM like the one that was backed up, for one.template.allocate: its TEMPLATE, where
 * USER_TEMPLATE replaces attributes of the same name, without what oned had added for that VM. Attributes without a
 * value are left out. Throws `message` when `vm` is not the document of a VM.
 */
export function restoredTemplate(vm: Element, options: RestoreOptions): string {
  const own = entriesOf(vm.child('TEMPLATE'));
  const added = entriesOf(vm.find('USER_TEMPLATE'));
  const fixed: TemplateEntry[] = [['NAME', options.name]];
  if (options.tpmState !== undefined) fixed.push(['TPM_STATE', options.tpmState]);
  const replaced = new Set([...fixed, ...added].map(([name]) => name));
  const merged = [
    ...own.filter(([name]) => !replaced.has(name)),
    ...added.filter(([name]) => !fixed.some(([other]) => other === name)),
  ];
  const restored = merged
    .filter(([name]) => !TOP_LEVEL.has(name))
    .map(
      ([name, value]): TemplateEntry => [
        name,
        typeof value === 'string' ? value : restoredVector(name, value, options),
      ],
    );
  return formatTemplate([...fixed, ...restored.filter(([, value]) => value.length > 0)]);
}

function entriesOf(template: Element | undefined): TemplateEntry[] {
  const entries = (template?.children() ?? []).map((attribute): TemplateEntry => {
    const parts = attribute.children();
    if (parts.length === 0) return [attribute.name, attribute.text.trim() === '' ? '' : attribute.text];
    return [attribute.name, parts.map((part) => [part.name, part.text] as const).filter(([, text]) => text !== '')];
  });
  return entries.filter(([, value]) => value.length > 0);
}

/** What remains of a vector; nothing at all means that it is left out. */
function restoredVector(name: string, attributes: VectorAttributes, options: RestoreOptions): VectorAttributes {
  if (name === 'DISK') return restoredDisk(attributes, options.images);
  if (name === 'NIC' || name === 'NIC_ALIAS') return options.noNic ? [] : restoredNic(attributes, options.noIp);
  if (name === 'PCI') return restoredPci(attributes, options);
  if (name === 'CONTEXT') return attributes.filter(([key]) => key !== 'DISK_ID' && !/^(ETH|PCI)[0-9]/.test(key));
  return without(attributes, OTHERS.get(name) ?? new Set());
}

/**
 * A disk of the backup becomes its new image. One that was not in the backup keeps the image it had: CDROMs, which are
 * never backed up, and disks left out by DISK_IDS; the new VM then starts with that image, or oned says at once that it
 * is in use or gone, which is better than a VM that silently lacks a disk. What has neither is volatile: it is made
 * anew, empty, with its TYPE and SIZE.
 */
function restoredDisk(attributes: VectorAttributes, images: RestoreOptions['images']): VectorAttributes {
  const id = attributeOf(attributes, 'DISK_ID');
  const image = id === undefined ? undefined : images.get(parseDiskId(id, 'a DISK_ID of vm.xml'));
  const kept = without(attributes, DISK);
  if (image !== undefined) {
    const named = [typeof image === 'string' ? 'IMAGE' : 'IMAGE_ID', String(image)] as const;
    return [named, ...kept.filter(([name]) => name !== 'IMAGE_ID')];
  }
  if (attributeOf(attributes, 'IMAGE_ID') !== undefined) return kept;
  return [...attributes.filter(([name]) => name === 'TYPE' || name === 'SIZE'), ...kept];
}

/** An address follows from the one before it, so only the first is asked for again: IP, else IP6, else MAC. */
function restoredNic(attributes: VectorAttributes, noIp: boolean): VectorAttributes {
  const has = (name: string) => attributeOf(attributes, name) !== undefined;
  const addresses = noIp ? ['IP', 'MAC', ...IP6] : has('IP') ? ['MAC', ...IP6] : has('IP6') ? ['MAC'] : [];
  return without(attributes, new Set([...NIC, ...addresses]));
}

/**
 * A device goes back to how the user chose it. By VENDOR, DEVICE and CLASS oned picks one automatically and adds its
 * SHORT_ADDRESS, which is then not asked for again; without them SHORT_ADDRESS was the choice.
 * (src/host/HostSharePCI.cc) A device with TYPE NIC is a network interface, too.
 */
function restoredPci(attributes: VectorAttributes, options: RestoreOptions): VectorAttributes {
  if (options.noNic && attributeOf(attributes, 'TYPE') === 'NIC') return [];
  const automatic = ['VENDOR', 'DEVICE', 'CLASS'].some((name) => attributeOf(attributes, name) !== undefined);
  return without(restoredNic(attributes, options.noIp), automatic ? new Set([...PCI, 'SHORT_ADDRESS']) : PCI);
}

function attributeOf(attributes: VectorAttributes, name: string): string | undefined {
  return attributes.find(([key]) => key === name)?.[1];
}

function without(attributes: VectorAttributes, names: ReadonlySet<string>): VectorAttributes {
  return attributes.filter(([name]) => !names.has(name));
}
