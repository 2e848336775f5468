import type { PointFiles } from '../engine/engine';
import { asDriverError, DriverError } from '../errors';
import { OnedClient } from '../opennebula/client';
import type { Element } from '../opennebula/document';
import type { DiskId, ImageId } from '../opennebula/ids';
import { type BackupImage, parseImage } from '../opennebula/image';
import { chainUpTo, lastOf } from '../opennebula/increment';
import { parseRestoreRequest, type RestoreRequest } from '../opennebula/restore-request';
import { imageTemplate, restoredTemplate } from '../opennebula/restore-template';
import { sessionAs } from '../opennebula/session';
import { parseStoredVm } from '../opennebula/vm';
import type { Verb, VerbContext } from './verb';

/** oned gives up on a restore after 180 s; the session need not outlive that by much, in seconds. */
const SESSION_SECONDS = 300;

/** restore: creates images and a VM template from a backup. */
export const restore: Verb = {
  name: 'restore',
  summary: 'Creates one image for each disk of a backup, and a VM template that uses them. oned then fills the images.',
  positionals: [{ name: 'REQUEST_ID', describe: "oned's number of the request" }],
  input: 'DS_DRIVER_ACTION_DATA with DATASTORE, IMAGE, DESTINATION_DS_ID and TEMPLATE, XML or base64',
  output: 'TEMPLATE_ID IMAGE_ID IMAGE_ID ... (TEMPLATE_ID -1: none was made)',
  example: '0 --message restore.xml',
  async run(context) {
    const { message, engine, dryRun } = context;
    const image = parseImage(message.child('IMAGE'));
    const request = parseRestoreRequest(message);
    const chain = request.incrementId === undefined ? image.chain : chainUpTo(image.chain, request.incrementId);
    const only = request.diskId === undefined ? [] : [request.diskId];
    const files = await engine().files({ vmId: image.vmId, jobId: image.jobId, chain }, only);
    const stored = await engine().read(files.point, files.vmXml);
    const tpmState =
      files.tpm === undefined ? undefined : (await engine().read(files.point, files.tpm.path)).toString('base64');
    if (dryRun) return planned(context, request, files);
    return new Restorer(context, image, request, files, await connect(context, request)).restore(
      parseStoredVm(stored),
      tpmState,
    );
  },
};

async function connect({ frontEnd, signal }: VerbContext, { username }: RestoreRequest): Promise<OnedClient> {
  const expiresAt = Math.floor(Date.now() / 1000) + SESSION_SECONDS;
  return new OnedClient(
    await frontEnd.endpoint(),
    sessionAs(username, await frontEnd.serverAdminCredentials(), expiresAt),
    signal,
  );
}

function planned(
  { report }: VerbContext,
  { username, destination, diskId }: RestoreRequest,
  { disks }: PointFiles,
): string[] {
  for (const id of diskId === undefined ? disks.keys() : [diskId]) {
    report.plan(`oned: create an image of disk ${id} in datastore ${destination} as user ${username}`);
  }
  if (diskId === undefined) report.plan(`oned: create a VM template as user ${username}`);
  return [];
}

class Restorer {
  readonly #created: ImageId[] = [];

  constructor(
    private readonly context: VerbContext,
    private readonly image: BackupImage,
    private readonly request: RestoreRequest,
    private readonly files: PointFiles,
    private readonly oned: OnedClient,
  ) {}

  async restore(vm: Element, tpmState: string | undefined): Promise<string[]> {
    const { diskId, name, noIp, noNic } = this.request;
    const base = name ?? `${this.image.vmId}-${lastOf(this.files.point.chain).source}`;
    const images = new Map<DiskId, ImageId>();
    try {
      for (const id of diskId === undefined ? this.files.disks.keys() : [diskId])
        images.set(id, await this.#createImage(id, base));
      const template =
        diskId !== undefined
          ? -1
          : await this.oned.allocateTemplate(restoredTemplate(vm, { name: base, images, noIp, noNic, tpmState }));
      return [[template, ...this.#created].join(' ')];
    } catch (error) {
      throw this.#withCreated(asDriverError(error));
    }
  }

  async #createImage(diskId: DiskId, base: string): Promise<ImageId> {
    const disk = this.files.disks.get(diskId);
    if (disk === undefined) {
      throw new DriverError('notFound', `the backup of VM ${this.image.vmId} holds no disk ${diskId}`, {
        hint: `Choose one of: ${[...this.files.disks.keys()].join(', ')}`,
      });
    }
    const { id: datastoreId } = this.context.datastore();
    const template = imageTemplate({ base, diskId, url: disk.url, datastoreId, jobId: this.image.jobId });
    const created = await this.oned.allocateImage(template, this.request.destination);
    this.#created.push(created);
    return created;
  }

  /** What exists already is told: it can be used, or must be removed, and only the user knows which. */
  #withCreated(error: DriverError): DriverError {
    if (this.#created.length === 0) return error;
    const ids = this.#created.join(', ');
    return new DriverError(error.kind, `images ${ids} were created, then: ${error.message}`, {
      hint: `Use the images, or remove them with: oneimage delete ${this.#created.join(',')}`,
      cause: error,
    });
  }
}
