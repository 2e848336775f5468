import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { Element } from '../../../lib/opennebula/document';
import {
  type DiskId,
  type ImageId,
  parseDatastoreId,
  parseDiskId,
  parseImageId,
  parseJobId,
} from '../../../lib/opennebula/ids';
import { parseRestoreRequest } from '../../../lib/opennebula/restore-request';
import { imageTemplate, type RestoreOptions, restoredTemplate } from '../../../lib/opennebula/restore-template';
import { parseTemplateText } from '../../helpers/oned-template';

const message = (name: string) =>
  Element.parse(readFileSync(join(__dirname, `../../fixtures/oned-messages/${name}.xml`), 'utf8'), name);
const vmOf = (template: string, user = '') =>
  Element.parse(`<VM><ID>1</ID><TEMPLATE>${template}</TEMPLATE><USER_TEMPLATE>${user}</USER_TEMPLATE></VM>`, 'the VM');
const disk = (id: number) => parseDiskId(String(id), 'the test');
const imagesOf = (pairs: Record<number, number>): ReadonlyMap<DiskId, ImageId> =>
  new Map(Object.entries(pairs).map(([key, value]) => [disk(Number(key)), parseImageId(String(value), 'the test')]));
const restore = (vm: Element, options: Partial<RestoreOptions> = {}) =>
  parseTemplateText(restoredTemplate(vm, { name: 'new', images: imagesOf({}), noIp: false, noNic: false, ...options }));

t.test('the request of a restore', async (t) => {
  t.same(parseRestoreRequest(message('restore-increment-named')), {
    destination: 101,
    username: 'oneadmin',
    name: 'rest & 1',
    incrementId: 2,
    diskId: undefined,
    noIp: true,
    noNic: true,
  });
  const request = (template: string, ds = '<DESTINATION_DS_ID>1</DESTINATION_DS_ID>') =>
    parseRestoreRequest(
      Element.parse(`<DS_DRIVER_ACTION_DATA>${ds}<TEMPLATE>${template}</TEMPLATE></DS_DRIVER_ACTION_DATA>`, 'it'),
    );
  const user = '<USERNAME>carol</USERNAME>';
  const nothing = { name: undefined, incrementId: undefined, diskId: undefined, noIp: false, noNic: false };
  t.same(request(user), { destination: 1, username: 'carol', ...nothing });
  t.same(
    request(
      `${user}<INCREMENT_ID>-1</INCREMENT_ID><DISK_ID>0</DISK_ID><NO_IP>yes</NO_IP><NO_NIC>NO</NO_NIC><NAME> </NAME>`,
    ),
    {
      ...nothing,
      destination: 1,
      username: 'carol',
      diskId: 0,
      noIp: true,
    },
  );
  for (const bad of [
    '',
    '<USERNAME></USERNAME>',
    '<USERNAME>a:b</USERNAME>',
    '<USERNAME>a\nb</USERNAME>',
    `${user}<DISK_ID>x</DISK_ID>`,
  ]) {
    t.throws(() => request(bad), { kind: 'message', message: /USERNAME|DISK_ID/ }, bad);
  }
  t.throws(() => request(user, ''), { kind: 'message', message: /DESTINATION_DS_ID/ });
});

t.test('the template of an image', async (t) => {
  const url = 'restic://100//0:flat0001/var/lib/one/datastores/102/1/backup/disk.0.1';
  const image = { base: 'rest "1"', url, datastoreId: parseDatastoreId('100', 'the test') };
  t.same(parseTemplateText(imageTemplate({ ...image, diskId: disk(0), jobId: undefined })), [
    ['NAME', 'rest "1"-disk-0'],
    ['TYPE', 'OS'],
    ['PATH', url],
    ['FROM_BACKUP_DS', '100'],
  ]);
  t.same(parseTemplateText(imageTemplate({ ...image, diskId: disk(2), jobId: parseJobId('0', 'the test') })), [
    ['NAME', 'rest "1"-disk-2'],
    ['TYPE', 'DATABLOCK'],
    ['PATH', url],
    ['FROM_BACKUP_DS', '100'],
    ['BACKUP_JOB_ID', '0'],
  ]);
  t.equal(
    imageTemplate({ ...image, base: 'b', diskId: disk(0), jobId: undefined }).split('\n')[0],
    'NAME = "b-disk-0"',
  );
});

t.test('a VM as oned stored it: two disks in the backup, a volatile one not', async (t) => {
  const vm = message('ls-i2').child('VM');
  t.same(restore(vm, { name: 'rest & 1', images: imagesOf({ 0: 40, 1: 41 }) }), [
    ['NAME', 'rest & 1'],
    ['CPU', '0.1'],
    ['DISK', { IMAGE_ID: '40', DEV_PREFIX: 'sd', PERSISTENT_SNAPSHOTS: 'YES' }],
    ['DISK', { IMAGE_ID: '41', DEV_PREFIX: 'sd', PERSISTENT_SNAPSHOTS: 'YES' }],
    ['DISK', { SIZE: '5', TYPE: 'fs', DEV_PREFIX: 'sd', PERSISTENT_SNAPSHOTS: 'YES' }],
    ['MEMORY', '64'],
    ['OS', { MACHINE: 'q35' }],
    ['SUBMIT_ON_HOLD', 'YES'],
    ['USERNOTE', 'note & <b>'],
  ]);
  const disks = restore(vm, { images: imagesOf({ 2: 9 }) }).filter(([name]) => name === 'DISK');
  t.match(
    disks,
    [
      ['DISK', { IMAGE_ID: '0' }],
      ['DISK', { IMAGE_ID: '1' }],
      ['DISK', { IMAGE_ID: '9', TYPE: undefined, SIZE: undefined }],
    ],
    'disks that the backup lacks keep their image; a volatile disk that it holds becomes an image',
  );
});

t.test('each list of what is removed', async (t) => {
  const LISTS: Record<string, string> = {
    DISK: `ALLOW_ORPHANS CLONE CLONE_TARGET CLUSTER_ID DATASTORE DATASTORE_ID DISK_ID DISK_SNAPSHOT_TOTAL_SIZE DISK_TYPE DRIVER FORMAT IMAGE IMAGE_STATE
      IMAGE_UID IMAGE_UNAME LN_TARGET OPENNEBULA_MANAGED ORIGINAL_SIZE PERSISTENT READONLY SAVE SIZE SOURCE TARGET TM_MAD TYPE`,
    NIC: 'AR_ID BRIDGE BRIDGE_TYPE CLUSTER_ID NAME NETWORK_ID NIC_ID PHYDEV TARGET VLAN_ID VLAN_TAGGED_ID VN_MAD',
    NIC_ALIAS: 'AR_ID BRIDGE CLUSTER_ID NAME NETWORK_ID NIC_ID VN_MAD',
    GRAPHICS: 'PORT',
    CONTEXT: 'DISK_ID ETH0_MAC ETH12_IP PCI0_ADDRESS',
    NUMA_NODE: 'CPUS MEMORY_NODE_ID NODE_ID',
    OS: 'UUID',
    PCI: `AR_ID BRIDGE BRIDGE_TYPE CLUSTER_ID NAME NETWORK_ID NIC_ID PHYDEV TARGET VLAN_ID VLAN_TAGGED_ID VN_MAD
      ADDRESS BUS DOMAIN FUNCTION NUMA_NODE PCI_ID SLOT VM_ADDRESS VM_BUS VM_DOMAIN VM_FUNCTION VM_SLOT`,
  };
  const kept: Record<string, string> = { DISK: 'IMAGE_ID', CONTEXT: 'ETHERPAD' };
  const element = (name: string, value: string) => `<${name}><![CDATA[${value}]]></${name}>`;
  const vector = (name: string, names: string[]) =>
    `<${name}>${names.map((one) => element(one, one === 'DISK_ID' ? '7' : '1')).join('')}</${name}>`;
  const entries = Object.entries(LISTS).map(([name, list]) => [name, list.split(/\s+/)] as const);
  const full = vmOf(entries.map(([name, names]) => vector(name, [...names, kept[name] ?? 'KEPT'])).join(''));
  t.same(restore(full), [['NAME', 'new'], ...entries.map(([name]) => [name, { [kept[name] ?? 'KEPT']: '1' }])]);
  const bare = vmOf(
    entries
      .filter(([name]) => name !== 'DISK')
      .map(([name, names]) => vector(name, names))
      .join(''),
  );
  t.same(restore(bare), [['NAME', 'new']], 'a vector of which nothing remains is left out');
  const top =
    'AUTOMATIC_DS_REQUIREMENTS AUTOMATIC_NIC_REQUIREMENTS AUTOMATIC_REQUIREMENTS ERROR SECURITY_GROUP_RULE TEMPLATE_ID TM_MAD_SYSTEM VMID';
  t.same(
    restore(
      vmOf(
        top
          .split(' ')
          .map((name) => element(name, 'x'))
          .join('') + vector('SECURITY_GROUP_RULE', ['A']),
      ),
    ),
    [['NAME', 'new']],
  );
});

t.test('network interfaces', async (t) => {
  const nics = `<NIC><IP>10.0.0.1</IP><IP6>fd::1</IP6><IP6_ULA>fd::2</IP6_ULA><IP6_GLOBAL>2001::1</IP6_GLOBAL><MAC>02:00</MAC><NETWORK>lan</NETWORK></NIC>
    <NIC><IP6>fd::1</IP6><MAC>02:00</MAC><NETWORK>six</NETWORK></NIC><NIC><MAC>02:01</MAC><NETWORK>two</NETWORK></NIC>
    <NIC_ALIAS><IP>10.0.0.2</IP><MAC>02:00</MAC><PARENT>NIC0</PARENT></NIC_ALIAS><PCI><TYPE>NIC</TYPE><SHORT_ADDRESS>3b:00.1</SHORT_ADDRESS><MAC>02:03</MAC></PCI>`;
  const rest = (options: Partial<RestoreOptions>) => restore(vmOf(nics), options).slice(1);
  t.same(rest({}), [
    ['NIC', { IP: '10.0.0.1', NETWORK: 'lan' }],
    ['NIC', { IP6: 'fd::1', NETWORK: 'six' }],
    ['NIC', { MAC: '02:01', NETWORK: 'two' }],
    ['NIC_ALIAS', { IP: '10.0.0.2', PARENT: 'NIC0' }],
    ['PCI', { TYPE: 'NIC', SHORT_ADDRESS: '3b:00.1', MAC: '02:03' }],
  ]);
  t.same(rest({ noIp: true }), [
    ['NIC', { NETWORK: 'lan' }],
    ['NIC', { NETWORK: 'six' }],
    ['NIC', { NETWORK: 'two' }],
    ['NIC_ALIAS', { PARENT: 'NIC0' }],
    ['PCI', { TYPE: 'NIC', SHORT_ADDRESS: '3b:00.1' }],
  ]);
  t.same(rest({ noNic: true }), []);
});

t.test('devices, CDROMs, TPM and merging', async (t) => {
  const gpu =
    '<VENDOR>10de</VENDOR><DEVICE>1db6</DEVICE><CLASS>0302</CLASS><ADDRESS>0000:3b:00:0</ADDRESS><SHORT_ADDRESS>3b:00.0</SHORT_ADDRESS>';
  t.same(
    restore(vmOf(`<PCI>${gpu}</PCI><PCI><SHORT_ADDRESS>af:00.0</SHORT_ADDRESS><BUS>af</BUS></PCI>`), {
      noNic: true,
    }).slice(1),
    [
      ['PCI', { VENDOR: '10de', DEVICE: '1db6', CLASS: '0302' }],
      ['PCI', { SHORT_ADDRESS: 'af:00.0' }],
    ],
  );
  const cdrom =
    '<DISK><DISK_ID>1</DISK_ID><IMAGE_ID>17</IMAGE_ID><IMAGE>iso</IMAGE><TYPE>RBD_CDROM</TYPE><SIZE>700</SIZE><READONLY>YES</READONLY></DISK>';
  t.same(restore(vmOf(`${cdrom}<DISK><DISK_ID>3</DISK_ID><TYPE>swap</TYPE><SIZE>512</SIZE></DISK>`)).slice(1), [
    ['DISK', { IMAGE_ID: '17' }],
    ['DISK', { TYPE: 'swap', SIZE: '512' }],
  ]);
  const merged = restore(
    vmOf(
      '<NAME>old</NAME><CPU>1</CPU><NOTE>own</NOTE><TPM_STATE>stale</TPM_STATE><EMPTY></EMPTY>',
      '<NOTE>user "x"\nline</NOTE><LOGO>C:\\a</LOGO>',
    ),
    {
      tpmState: 'H4sIAAA=',
    },
  );
  t.same(merged, [
    ['NAME', 'new'],
    ['TPM_STATE', 'H4sIAAA='],
    ['CPU', '1'],
    ['NOTE', 'user "x"\nline'],
    ['LOGO', 'C:\\a'],
  ]);
  t.same(
    restore(Element.parse('<VM><TEMPLATE><CPU>1</CPU></TEMPLATE></VM>', 'it')),
    [
      ['NAME', 'new'],
      ['CPU', '1'],
    ],
    'USER_TEMPLATE may be missing',
  );
  t.throws(() => restore(Element.parse('<VM/>', 'it')), { kind: 'message', message: /no TEMPLATE/ });
});
