import type { DatastoreId, DeployId, DiskId, HostName, ImageId, IncrementId, JobId, VmId } from '../opennebula/ids';
import type { Increment } from '../opennebula/increment';
import type { MessageNode } from '../opennebula/message-text';

/** A VM, as far as a call about it tells. */
export interface VmOfCall {
  readonly id: VmId;
  readonly diskIds: readonly DiskId[];
  readonly deployId: DeployId;
  readonly host: HostName | undefined;
  readonly systemDatastoreId: DatastoreId;
  readonly jobId: JobId | undefined;
  /** The number that the next backup has in its chain, undefined for a full one without a chain; and the image of that chain. */
  readonly increment: IncrementId | undefined;
  readonly chainImageId: ImageId | undefined;
  readonly keepLast: number;
}

/** A backup image, as far as a call about it tells. */
export interface ImageOfCall {
  readonly id: ImageId;
  readonly vmId: VmId;
  readonly jobId: JobId | undefined;
  readonly chain: readonly Increment[];
  readonly diskIds: readonly DiskId[];
  readonly datastoreId: DatastoreId;
  readonly datastore: string;
}

/** Who owns what, as for all that oneadmin creates. */
const OWNER: readonly MessageNode[] = [
  ['UID', 0],
  ['GID', 0],
  ['UNAME', 'oneadmin'],
  ['GNAME', 'oneadmin'],
];
const PERMISSIONS: MessageNode = [
  'PERMISSIONS',
  ['OWNER_U', 'OWNER_M', 'OWNER_A', 'GROUP_U', 'GROUP_M', 'GROUP_A', 'OTHER_U', 'OTHER_M', 'OTHER_A'].map(
    (name) => [name, name === 'OWNER_U' || name === 'OWNER_M' ? 1 : 0] as const,
  ),
];
/** VM/STATE ACTIVE, and LCM_STATE BACKUP. */
const ACTIVE = 3;
const BACKUP = 69;
const TYPE_BACKUP = 6;

/** VM as oned shows it in the messages of backup, backup_cancel and ls. */
export function vmNode(vm: VmOfCall, datastoreId: DatastoreId): MessageNode {
  const { increment = 0 } = vm;
  const continues = increment > 0;
  const disks = vm.diskIds.map((id): MessageNode => ['DISK', [['DISK_ID', id]]]);
  const history: MessageNode = [
    'HISTORY',
    [
      ...numbers({ OID: vm.id, SEQ: 0 }),
      ['HOSTNAME', vm.host ?? ''],
      ...numbers({ HID: 0, CID: 0, STIME: 0, ETIME: 0 }),
      ['VM_MAD', 'kvm'],
      ['TM_MAD', 'ssh'],
      ['DS_ID', vm.systemDatastoreId],
    ],
  ];
  const config: MessageNode[] = [
    ['BACKUP_VOLATILE', 'NO'],
    ['FS_FREEZE', 'NONE'],
    ['INCREMENTAL_BACKUP_ID', continues ? (vm.chainImageId ?? -1) : -1],
    ['KEEP_LAST', vm.keepLast],
    ['LAST_DATASTORE_ID', datastoreId],
    ['LAST_INCREMENT_ID', increment - 1],
    // also when a chain begins (contract, "What the messages hold")
    ['MODE', vm.increment === undefined ? 'FULL' : 'INCREMENT'],
  ];
  const job: MessageNode[] = vm.jobId === undefined ? [] : [['BACKUP_JOB_ID', vm.jobId]];
  return [
    'VM',
    [
      ...[['ID', vm.id] as const, ...OWNER, ['NAME', `vm-${vm.id}`] as const, PERMISSIONS],
      ...numbers({ LAST_POLL: 0, STATE: ACTIVE, LCM_STATE: BACKUP, PREV_STATE: ACTIVE, PREV_LCM_STATE: BACKUP }),
      ...numbers({ RESCHED: 0, STIME: 0, ETIME: 0 }),
      ['DEPLOY_ID', vm.deployId],
      ['MONITORING', []],
      ['SCHED_ACTIONS', []],
      ['TEMPLATE', [...disks, ['VMID', vm.id]]],
      ['USER_TEMPLATE', []],
      ['HISTORY_RECORDS', [history]],
      [
        'BACKUPS',
        [
          ['BACKUP_CONFIG', [...job, ...config]],
          ['BACKUP_IDS', continues && vm.chainImageId !== undefined ? [['ID', vm.chainImageId]] : []],
        ],
      ],
    ],
  ];
}

/** IMAGE as oned shows it in the messages of rm, ls, restore and increment_flatten. */
export function imageNode(image: ImageOfCall): MessageNode {
  const increments = image.chain.map(({ id, source }, index): MessageNode => {
    const parent = image.chain[index - 1]?.id ?? -1;
    return [
      'INCREMENT',
      [
        ...numbers({ DATE: 0, ID: id, PARENT_ID: parent, SIZE: 0 }),
        ['SOURCE', source],
        ['TYPE', index === 0 ? 'FULL' : 'INCREMENT'],
      ],
    ];
  });
  return [
    'IMAGE',
    [
      ...[['ID', image.id] as const, ...OWNER, ['NAME', `${image.vmId} backup`] as const, PERMISSIONS],
      ...numbers({ TYPE: TYPE_BACKUP, DISK_TYPE: 0, PERSISTENT: 1, REGTIME: 0, MODTIME: 0 }),
      ['SOURCE', image.chain[0]?.source ?? '-'],
      ['PATH', ''],
      ['FORMAT', 'raw'],
      ['FS', ''],
      ...numbers({ SIZE: 0, STATE: 1, PREV_STATE: 1, RUNNING_VMS: 1, CLONING_OPS: 0, CLONING_ID: -1 }),
      ...numbers({ TARGET_SNAPSHOT: -1, DATASTORE_ID: image.datastoreId }),
      ['DATASTORE', image.datastore],
      ['VMS', [['ID', image.vmId]]],
      ['CLONES', []],
      ['APP_CLONES', []],
      ['TEMPLATE', image.jobId === undefined ? [] : [['BACKUP_JOB_ID', image.jobId]]],
      ['SNAPSHOTS', []],
      ['BACKUP_INCREMENTS', increments],
      ['BACKUP_DISK_IDS', image.diskIds.map((id) => ['ID', id] as const)],
    ],
  ];
}

function numbers(values: Readonly<Record<string, number>>): MessageNode[] {
  return Object.entries(values);
}
