import type { BackupSource } from '../engine/engine';
import { asDriverError, DriverError } from '../errors';
import { OnedClient } from '../opennebula/client';
import type { FrontEnd } from '../opennebula/front-end';
import {
  type AbsolutePath,
  type DiskId,
  joinPath,
  parseDeployId,
  parseDiskId,
  parseJobId,
  parseVmId,
} from '../opennebula/ids';
import { type BackupImage, parseImage } from '../opennebula/image';
import { parseVmToBackUp, type VmToBackUp } from '../opennebula/vm';
import { backupMarker, parseHostAndFolder } from './host-and-folder';
import type { Report } from './report';
import { expectSameId } from './same-id';
import type { Verb, VerbContext } from './verb';

/** backup: stores the staging folder of a VM. */
export const backup: Verb = {
  name: 'backup',
  summary: 'Stores the disks and the description of a VM, which the transfer driver laid into its staging folder.',
  positionals: [
    { name: 'HOST:DIR', describe: "the VM's host and its folder there; DIR/backup is the staging folder" },
    { name: 'DISKS', describe: 'the ids of the disks, with colons between them' },
    { name: 'DEPLOY_ID', describe: 'what the hypervisor calls the VM' },
    { name: 'JOB_ID', describe: 'the id of the backup job, or -' },
    { name: 'VM_ID', describe: 'the id of the VM' },
    { name: 'SYSTEM_DS_ID', describe: 'the id of the system datastore that DIR is in' },
  ],
  input: 'DS_DRIVER_ACTION_DATA with DATASTORE and VM, XML or base64',
  output: 'SOURCE SIZE_MB FORMAT: the id of the new backup, what it holds, raw or rbd',
  example: 'host1:/var/lib/one/datastores/0/7 0:1 one-7 - 7 0 --message backup.xml',
  marker: (argument) => backupMarker(argument('HOST:DIR'), parseDeployId(argument('DEPLOY_ID'), 'DEPLOY_ID', 'usage')),
  async run(context) {
    const { source, sizeMb, format } = await context.engine().backup(await sourceOf(context));
    return [`${source} ${sizeMb} ${format}`];
  },
  async undo(context, [answer = '']) {
    const { vm, jobId } = await sourceOf(context);
    await context.engine().discard(vm.id, jobId, answer.split(' ')[0] ?? '');
  },
};

/** What the runs of this process back up: undoing one must know it, too, and oned may not answer then. */
const sources = new WeakMap<VerbContext, Promise<BackupSource>>();

function sourceOf(context: VerbContext): Promise<BackupSource> {
  const source = sources.get(context) ?? readSource(context);
  sources.set(context, source);
  return source;
}

/** Reads what is to be backed up. Throws `usage` or `message`. */
async function readSource({ argument, message, frontEnd, signal, report, dryRun }: VerbContext): Promise<BackupSource> {
  const { host, folder } = parseHostAndFolder(argument('HOST:DIR'));
  const diskIds = parseDiskIds(argument('DISKS'));
  const vm = parseVmToBackUp(message.child('VM'));
  expectSameId(parseVmId(argument('VM_ID'), 'VM_ID', 'usage'), vm.id, 'VM_ID');
  const jobId = parseJobId(argument('JOB_ID'), 'JOB_ID', 'usage');
  const image = dryRun ? undefined : await chainImage(vm, frontEnd, signal, report);
  return {
    host: vm.bridgeHost ?? host,
    folder: stagingFolder(folder, vm.id, await frontEnd.backupBasePath()),
    ...{ diskIds, vm },
    // A VM that is added to a job goes on with its chain, and all later actions look for it where the image says.
    jobId: image === undefined ? jobId : image.jobId,
    parentSource: async () => image?.chain.find(({ id }) => id === vm.parentId)?.source,
  };
}

/** The image of the chain that an increment goes on with: the message names neither its backups nor its job. */
async function chainImage(
  { chainImageId, parentId }: VmToBackUp,
  frontEnd: FrontEnd,
  signal: AbortSignal,
  report: Report,
): Promise<BackupImage | undefined> {
  if (chainImageId === undefined || parentId === undefined) return undefined;
  try {
    const client = new OnedClient(await frontEnd.endpoint(), await frontEnd.session(), signal);
    return parseImage(await client.imageInfo(chainImageId));
  } catch (error) {
    if (signal.aborted) throw error;
    report.log(`oned was not asked for the chain of image ${chainImageId}: ${asDriverError(error).message}`);
    return undefined;
  }
}

/** Where the transfer driver left the files (contract, "What each action means"). */
function stagingFolder(folder: AbsolutePath, vmId: number, basePath: AbsolutePath | undefined): AbsolutePath {
  return basePath === undefined ? joinPath(folder, 'backup') : joinPath(basePath, vmId, 'backup');
}

function parseDiskIds(text: string): readonly [DiskId, ...DiskId[]] {
  const ids = text.split(':').map((id) => parseDiskId(id, 'DISKS', 'usage'));
  if (new Set(ids).size < ids.length)
    throw new DriverError('usage', `DISKS is ${JSON.stringify(text)}: a disk is named twice`);
  return ids as unknown as readonly [DiskId, ...DiskId[]];
}
