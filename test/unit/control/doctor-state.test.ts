import t from 'tap';
import { parseCommandLine } from '../../../lib/control/command-line';
import type { OpenedDatastore } from '../../../lib/control/open-datastore';
import { stateLinks } from '../../../lib/control/state-links';
import type { ControlContext } from '../../../lib/control/subcommand';
import { subcommands } from '../../../lib/control/subcommands';
import type { Engine } from '../../../lib/engine/engine';
import type { Check } from '../../../lib/engine/examination';
import type { Leftover } from '../../../lib/engine/inventory';
import { DriverError } from '../../../lib/errors';
import { parseDatastore } from '../../../lib/opennebula/datastore';
import { Element } from '../../../lib/opennebula/document';

const MIB = 2 ** 20;
const XML =
  '<DATASTORE><ID>100</ID><DS_MAD>rsync</DS_MAD><BASE_PATH>/b/100</BASE_PATH><TEMPLATE><LIMIT_MB>9</LIMIT_MB></TEMPLATE></DATASTORE>';

const TEMPORARY: Leftover = { what: 'a temporary folder', where: 'server:/x', bytes: MIB, remove: async () => {} };

interface Case {
  /** How many images oned lists, and whether anything is stored. */
  readonly images?: number;
  readonly isEmpty?: () => Promise<boolean>;
  readonly file?: string;
  readonly isNew?: boolean;
  readonly left?: readonly Leftover[];
}

/** What doctor says of the state of a datastore, which is full. */
async function look(what: string, given: Case = {}): Promise<readonly Check[]> {
  const { file, isNew = false, left = [TEMPORARY], images = 0, isEmpty = async () => true } = given;
  const datastore = parseDatastore(Element.parse(XML, 'a datastore'), 'rsync', file);
  const ids = Array.from({ length: images }, (_, id) => `<ID>${id}</ID>`).join('');
  const document = Element.parse(`<DATASTORE><IMAGES>${ids}</IMAGES></DATASTORE>`, 'a datastore');
  const engine = {
    space: async () => ({ totalBytes: 20 * MIB, freeBytes: 5 * MIB }),
    inventory: () => ({ leftovers: async () => left, isEmpty }),
  };
  const call = file === undefined ? ['100'] : isNew ? [file] : [file, '--id', '100'];
  const line = await parseCommandLine(subcommands, ['doctor', ...call]);
  const links = stateLinks({
    opened: { datastore, isNew, document, from: file === undefined ? 'oned' : 'file' } as OpenedDatastore,
    context: { line } as ControlContext,
    engine: engine as unknown as Engine,
  });
  return (await links.find((link) => link.what === what)?.examine()) ?? [];
}

t.test('a limit that is reached is raised where it stands', async (t) => {
  const says = /^LIMIT_MB lets the backups take 9\.0 MiB, and 15\.0 MiB are in use$/;
  t.match(await look('limit'), [{ state: 'failure', says, hint: /raise it with: onedatastore update 100$/ }]);
  t.match(await look('limit', { file: 'backups.ds' }), [{ state: 'failure', says, hint: /raise it in backups\.ds$/ }]);
});

t.test('what is proposed for leftovers is a call that sweep takes', async (t) => {
  const swept = async (file?: string) =>
    (await look('leftovers', file === undefined ? {} : { file }))[0]?.mend?.commands[0].command;
  t.equal(await swept(), 'backupctl sweep 100 --yes');
  t.equal(await swept('my backups.ds'), "backupctl sweep 'my backups.ds' --id 100 --yes");
  t.match(await look('leftovers', { file: 'new.ds', isNew: true }), [
    { state: 'warning', says: /temporary folder/, hint: /Once the datastore is registered/, mend: undefined },
  ]);
});

t.test('what the next backup goes on with is no harm, and not to be swept', async (t) => {
  const remove = async (): Promise<void> => {};
  const ofUse: Leftover = { what: 'a broken transfer', where: 'server:/x', bytes: 3 * MIB, isOfUse: true, remove };
  const useless: Leftover = { what: 'a merge that was broken off', where: 'server:/y', bytes: MIB, remove };
  t.strictSame(await look('leftovers', { left: [ofUse] }), [{ state: 'ok', says: 'a broken transfer (3.0 MiB)' }]);
  t.match(await look('leftovers', { left: [ofUse, useless] }), [
    { state: 'warning', says: 'a merge that was broken off (1.0 MiB)', mend: { commands: [{ command: /sweep/ }] } },
    { state: 'ok', says: /^a broken transfer \(3\.0 MiB\); sweep would remove that, too$/ },
  ]);
});

t.test('a server that holds nothing of what oned lists', async (t) => {
  t.strictSame(await look('backups'), [], 'before the first backup');
  const says = /^oned lists 2 backup images here, and the server holds none$/;
  t.match(await look('backups', { images: 2 }), [{ state: 'failure', says, hint: /mounted.*pools imported/ }]);
  const gone = () => Promise.reject(new DriverError('notFound', 'there is no /b/100'));
  t.match(await look('backups', { images: 1, isEmpty: gone }), [
    { state: 'failure', says: /^oned lists one backup image here, and there is no \/b\/100$/ },
  ]);
  const broken = () => Promise.reject(new DriverError('noProgram', 'no find'));
  await t.rejects(look('backups', { images: 1, isEmpty: broken }), { kind: 'noProgram', message: 'no find' });
  t.match(await look('backups', { images: 1, isEmpty: async () => false }), [{ state: 'ok' }]);
});
