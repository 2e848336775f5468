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
import { parseImage } from '../opennebula/image';
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
  async undo({ argument, engine }, [answer = '']) {
    await engine().discard(
      vmIdOf(argument),
      parseJobId(argument('JOB_ID'), 'JOB_ID', 'usage'),
      answer.split(' ')[0] ?? '',
    );
  },
};

/** Reads what is to be backed up. Throws `usage` or `message`. */
async function sourceOf({ argument, message, frontEnd, signal, report, dryRun }: VerbContext): Promise<BackupSource> {
  const { host, folder } = parseHostAndFolder(argument('HOST:DIR'));
  const diskIds = parseDiskIds(argument('DISKS'));
  const vm = parseVmToBackUp(message.child('VM'));
  let asked: Promise<string | undefined> | undefined;
  expectSameId(vmIdOf(argument), vm.id, 'VM_ID');
  return {
    host: vm.bridgeHost ?? host,
    folder: stagingFolder(folder, vm.id, await frontEnd.backupBasePath()),
    ...{ diskIds, vm },
    jobId: parseJobId(argument('JOB_ID'), 'JOB_ID', 'usage'),
    async parentSource() {
      if (dryRun) return undefined;
      asked ??= parentSource(vm, frontEnd, signal, report);
      return asked;
    },
  };
}

/** The message does not name the backup that an increment builds on; the image of the chain does. */
async function parentSource(
  { chainImageId, parentId }: VmToBackUp,
  frontEnd: FrontEnd,
  signal: AbortSignal,
  report: Report,
): Promise<string | undefined> {
  if (chainImageId === undefined || parentId === undefined) return undefined;
  try {
    const client = new OnedClient(await frontEnd.endpoint(), await frontEnd.session(), signal);
    const { chain } = parseImage(await client.imageInfo(chainImageId));
    return chain.find(({ id }) => id === parentId)?.source;
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

function vmIdOf(argument: VerbContext['argument']) {
  return parseVmId(argument('VM_ID'), 'VM_ID', 'usage');
}

function parseDiskIds(text: string): readonly [DiskId, ...DiskId[]] {
  const ids = text.split(':').map((id) => parseDiskId(id, 'DISKS', 'usage'));
  if (new Set(ids).size < ids.length)
    throw new DriverError('usage', `DISKS is ${JSON.stringify(text)}: a disk is named twice`);
  return ids as unknown as readonly [DiskId, ...DiskId[]];
}
