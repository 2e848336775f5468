import { PassThrough } from 'node:stream';
import { CommandLine } from '../../../lib/control/call';
import { parseCommandLine } from '../../../lib/control/command-line';
import type { OpenedDatastore } from '../../../lib/control/open-datastore';
import { Screen } from '../../../lib/control/screen';
import type { ControlContext, Subcommand } from '../../../lib/control/subcommand';
import type { Engine } from '../../../lib/engine/engine';
import type { Inventory, StoredPoint } from '../../../lib/engine/inventory';
import { pointOfLayout } from '../../../lib/engine/inventory-points';
import { rsyncDriver } from '../../../lib/engine/rsync/driver';
import { asDriverError } from '../../../lib/errors';
import type { Host } from '../../../lib/host/host';
import { parseDatastore } from '../../../lib/opennebula/datastore';
import { Element } from '../../../lib/opennebula/document';
import { frontEndFrom } from '../../../lib/opennebula/front-end';
import type { VmId } from '../../../lib/opennebula/ids';
import { Secret } from '../../../lib/secret';
import { ONE_AUTH, type OnedBehaviour, startOned } from '../../helpers/oned';

/** Nobody listens there. */
export const NO_ONED = 'none';

/** DATASTORE 100 as oned shows it, with the ids of its images. */
export function datastoreXml({ name = 'backups', mad = 'rsync', path = '/b//100', host = 'server', images = '' } = {}) {
  return [
    `<DATASTORE><ID>100</ID><NAME>${name}</NAME><DS_MAD>${mad}</DS_MAD><BASE_PATH>${path}</BASE_PATH>`,
    `<IMAGES>${images}</IMAGES><TEMPLATE><RSYNC_HOST>${host}</RSYNC_HOST></TEMPLATE></DATASTORE>`,
  ].join('');
}

/** oned, whose datastore 100 holds image 6 with these increments. */
export function listing(...sources: readonly string[]): OnedBehaviour {
  return { datastores: { 100: datastoreXml({ images: '<ID>6</ID>' }) }, images: [imageXml(...sources)] };
}

/** Image 6, which lists these increments of VM 7. */
function imageXml(...sources: readonly string[]): string {
  const increments = sources.map((source, id) => `<INCREMENT><ID>${id}</ID><SOURCE>${source}</SOURCE></INCREMENT>`);
  return `<IMAGE><ID>6</ID><VMS><ID>7</ID></VMS><BACKUP_INCREMENTS>${increments.join('')}</BACKUP_INCREMENTS></IMAGE>`;
}

/** A backup of VM 7, so many days old. */
export function pointOf(source: string, id: number, days: number, replaces: readonly string[] = []): StoredPoint {
  const files = [{ name: `disk.0.${id}` }];
  const timeMs = Date.now() - days * 86_400_000;
  const point = pointOfLayout({ vmId: 7 as VmId, repository: '7', source, timeMs, files, replaces: [...replaces] });
  return replaces.length > 0 ? { ...point, type: 'FULL' } : point;
}

/** Runs a subcommand on backups that are only told of. */
export async function runOn(
  subcommand: Subcommand,
  words: readonly string[],
  stored: Partial<Inventory>,
  told: OnedBehaviour | typeof NO_ONED,
  from: OpenedDatastore['from'] = 'oned',
  { engine = {}, local }: { readonly engine?: Partial<Engine>; readonly local?: Host } = {},
) {
  const oned = await startOned(told === NO_ONED ? {} : told);
  const endpoint = told === NO_ONED ? 'http://127.0.0.1:1/RPC2' : oned.endpoint;
  const outlets = { stdout: new PassThrough(), stderr: new PassThrough() };
  const line = await parseCommandLine([subcommand], [subcommand.name, ...words]);
  if (!(line instanceof CommandLine)) throw new Error('a text, not a call');
  const document = Element.parse(datastoreXml(), 'the datastore');
  const inventory = { leftovers: async () => [], checks: async () => [], ...stored };
  const opened = {
    ...{ document, from, name: 'backups', driver: rsyncDriver, datastore: parseDatastore(document, 'rsync') },
    engine: () => ({ ...engine, inventory: () => inventory }),
    hosts: () => ({ local }),
  } as unknown as OpenedDatastore;
  const frontEnd = {
    ...frontEndFrom({}),
    endpoint: async () => new URL(endpoint),
    session: async () => new Secret(ONE_AUTH),
  };
  const context = {
    ...{ line, frontEnd, env: {}, signal: new AbortController().signal, open: async () => opened },
    screen: new Screen(outlets, { verbose: line.flag('verbose'), color: false }),
  } as unknown as ControlContext;
  try {
    const code = await subcommand.run(context).catch((error: unknown) => {
      context.screen.fail(asDriverError(error));
      return asDriverError(error).exitCode;
    });
    return { code, out: String(outlets.stdout.read() ?? ''), err: String(outlets.stderr.read() ?? '') };
  } finally {
    await oned.close();
  }
}
