import {
  type DatastoreId,
  type DeployId,
  parseAbsolutePath,
  parseDatastoreId,
  parseDeployId,
  parseDiskId,
  parseHostName,
  parseImageId,
  parseIncrementId,
  parseJobId,
  parseVmId,
} from '../opennebula/ids';
import { type Increment, parseSource, toChain } from '../opennebula/increment';
import { type MessageNode, nodeOf } from '../opennebula/message-text';
import type { CommandLine } from './call';
import { type ImageOfCall, imageNode, type VmOfCall, vmNode } from './oned-objects';
import type { OpenedDatastore } from './open-datastore';

/** A call of a driver's action, as oned makes it. */
export interface OnedCall {
  /** The arguments of the script. */
  readonly args: readonly string[];
  readonly message: MessageNode;
  /** Whether oned packs the message of this action in base64 (contract, "How a driver is called"). */
  readonly packed: boolean;
}

/** What a call is made of. */
interface Parts {
  readonly line: CommandLine;
  readonly opened: OpenedDatastore;
  /** VAR of the front-end, in which the hosts' folders of VMs lie. */
  readonly varDir: string;
}

/** An action that can be called. */
interface Action {
  readonly make: (parts: Parts) => OnedCall;
  /** What it destroys, for one that is not done without a yes. */
  readonly destroys?: string;
}

/** oned numbers the requests of some actions; to the driver the number says nothing. */
const REQUEST_ID = '0';
const KEEP_LAST_DEFAULT = 1;

/** How oned calls each action (contract, "How a driver is called"). */
export const ACTIONS: Readonly<Record<string, Action>> = {
  monitor: { make: (parts) => packed([idOf(parts)], [datastoreNode(parts)]) },
  backup: {
    make: (parts) => {
      const vm = vmOf(parts, true);
      const disks = vm.diskIds.join(':');
      const args = [hostAndFolder(parts, vm), disks, vm.deployId, String(vm.jobId ?? '-'), `${vm.id}`];
      return raw([...args, `${vm.systemDatastoreId}`], data([datastoreNode(parts), vmNode(vm, datastoreId(parts))]));
    },
  },
  backup_cancel: {
    make: (parts) => {
      const vm = vmOf(parts, false);
      return raw([hostAndFolder(parts, vm), vm.deployId], vmNode(vm, datastoreId(parts)));
    },
    destroys: 'ends the running backup of the VM',
  },
  restore: {
    make: (parts) => {
      const { line } = parts;
      const why = 'the image datastore for the restored disks';
      const destination = line.required('destination', parseDatastoreId, why);
      const wanted: [name: string, value: string | undefined][] = [
        ['DISK_ID', line.optional('disk', parseDiskId)?.toString()],
        ['INCREMENT_ID', line.optional('increment', parseIncrementId)?.toString()],
        ['NAME', line.text('name')],
        ['NO_IP', line.flag('no-ip') ? 'YES' : undefined],
        ['NO_NIC', line.flag('no-nic') ? 'YES' : undefined],
        ['USERNAME', line.text('username') ?? 'oneadmin'],
      ];
      const given = wanted.flatMap(([name, value]): MessageNode[] => (value === undefined ? [] : [[name, value]]));
      const image = imageNode(imageOf(parts));
      const rest: MessageNode[] = [datastoreNode(parts), ['DESTINATION_DS_ID', destination], ['TEMPLATE', given]];
      return packed([REQUEST_ID], [image, ...rest]);
    },
  },
  rm: {
    make: (parts) => {
      const image = imageOf(parts);
      return packed([`${image.id}`], [imageNode(image), datastoreNode(parts)]);
    },
    destroys: 'removes all backups of the chain',
  },
  stat: {
    make: (parts) => {
      const url = parts.line.required('url', (text) => text, 'the backup URL of a disk, as ls prints it');
      const job = parts.line.text('job');
      const image: MessageNode[] = [
        ['PATH', url],
        ['SIZE', ''],
        ...(job === undefined ? [] : [['BACKUP_JOB_ID', job] as const]),
      ];
      return packed([REQUEST_ID], [['IMAGE', image], datastoreNode(parts)]);
    },
  },
  ls: {
    make: (parts) => {
      const increment = parts.line.optional('increment', parseIncrementId) ?? -1;
      const image = imageNode(imageOf(parts));
      const vm = vmNode(vmOf(parts, false), datastoreId(parts));
      return raw(['-i', `${increment}`], data([datastoreNode(parts), vm, image]));
    },
  },
  increment_flatten: {
    make: (parts) => {
      const image = imageOf(parts);
      const keepLast = parts.line.integer('keep-last', 1, 999_999_999) ?? KEEP_LAST_DEFAULT;
      const extra: MessageNode = ['EXTRA_DATA', [['KEEP_LAST', keepLast]]];
      return packed([`${image.id}`], [imageNode(image), datastoreNode(parts), extra]);
    },
    destroys: 'merges the oldest backups of the chain, and removes them',
  },
};

function packed(args: readonly string[], children: readonly MessageNode[]): OnedCall {
  return { args, message: data(children), packed: true };
}

function raw(args: readonly string[], message: MessageNode): OnedCall {
  return { args, message, packed: false };
}

function data(children: readonly MessageNode[]): MessageNode {
  return ['DS_DRIVER_ACTION_DATA', children];
}

function datastoreNode({ opened }: Parts): MessageNode {
  return nodeOf(opened.document);
}

function datastoreId({ opened }: Parts): DatastoreId {
  return opened.datastore.id;
}

function idOf(parts: Parts): string {
  return String(datastoreId(parts));
}

function vmOf({ line, varDir }: Parts, needsDisks: boolean): VmOfCall {
  const id = line.required('vm', parseVmId, 'the id of the VM');
  const disks = line.texts('disk').flatMap((text) => text.split(/[:,]/));
  if (needsDisks && disks.length === 0) line.required('disk', parseDiskId, 'the id of a disk, once for each');
  const folder = line.optional('dir', parseAbsolutePath);
  const own = /\/([0-9]{1,10})\/[0-9]+$/.exec(folder ?? `${varDir}/datastores/0/${id}`)?.[1] ?? '0';
  return {
    id,
    diskIds: disks.map((text) => parseDiskId(text, '--disk', 'usage')),
    deployId: line.optional('deploy-id', parseDeployId) ?? (`one-${id}` as DeployId),
    host: line.optional('host', parseHostName),
    systemDatastoreId: line.optional('system-ds', parseDatastoreId) ?? parseDatastoreId(own, '--dir', 'usage'),
    jobId: line.optional('job', parseJobId),
    increment: line.optional('increment', parseIncrementId),
    chainImageId: line.optional('image', parseImageId),
    keepLast: line.integer('keep-last', 1, 999_999_999) ?? KEEP_LAST_DEFAULT,
  };
}

/** With a doubled slash, as oned writes it. */
function hostAndFolder({ line, varDir }: Parts, { id, systemDatastoreId }: VmOfCall): string {
  const host = line.required('host', parseHostName, 'the host on which the VM runs');
  const folder = line.optional('dir', parseAbsolutePath);
  return `${host}:${folder ?? `${varDir}//datastores/${systemDatastoreId}/${id}`}`;
}

function imageOf({ line, opened }: Parts): ImageOfCall {
  return {
    id: line.optional('image', parseImageId) ?? parseImageId('0', ''),
    vmId: line.required('vm', parseVmId, 'the id of the VM'),
    jobId: line.optional('job', parseJobId),
    chain: chainOf(line),
    diskIds: line.texts('disk').map((text) => parseDiskId(text, '--disk', 'usage')),
    datastoreId: opened.datastore.id,
    datastore: opened.name,
  };
}

/** `--source 0:4f2c8c81,1:9a7b66d0`, or `--source 4f2c8c81` once for each backup, from the oldest on. */
function chainOf(line: CommandLine): readonly Increment[] {
  const texts = line.texts('source').flatMap((text) => text.split(','));
  if (texts.length === 0) line.required('source', (text) => text, 'the SOURCE of a backup, or ID:SOURCE,ID:SOURCE,...');
  const only = texts.length === 1 ? line.text('increment') : undefined;
  const increments = texts.map((text, index) => {
    const [, id = only ?? String(index), source = text] = /^([0-9]+):(.*)$/s.exec(text) ?? [];
    return {
      id: parseIncrementId(id, 'an increment of --source', 'usage'),
      source: parseSource(source, 'a SOURCE of --source', 'usage'),
    };
  });
  return toChain(increments, '--source');
}
