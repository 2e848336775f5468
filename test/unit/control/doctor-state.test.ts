import t from 'tap';
import type { OpenedDatastore } from '../../../lib/control/open-datastore';
import { stateLinks } from '../../../lib/control/state-links';
import type { ControlContext } from '../../../lib/control/subcommand';
import type { Engine } from '../../../lib/engine/engine';
import type { Check } from '../../../lib/engine/examination';
import { parseDatastore } from '../../../lib/opennebula/datastore';
import { Element } from '../../../lib/opennebula/document';

const MIB = 2 ** 20;
const XML =
  '<DATASTORE><ID>100</ID><DS_MAD>rsync</DS_MAD><BASE_PATH>/b/100</BASE_PATH><TEMPLATE><LIMIT_MB>9</LIMIT_MB></TEMPLATE></DATASTORE>';

/** What doctor says of the state of a datastore, which is full and that of a file if there is one. */
async function look(what: string, file?: string): Promise<readonly Check[]> {
  const datastore = parseDatastore(Element.parse(XML, 'a datastore'), 'rsync', file);
  const engine = { space: async () => ({ totalBytes: 20 * MIB, freeBytes: 5 * MIB }) };
  const links = stateLinks({
    opened: { datastore } as OpenedDatastore,
    context: { line: { words: () => ['100'], text: () => undefined } } as unknown as ControlContext,
    engine: engine as Engine,
  });
  return (await links.find((link) => link.what === what)?.examine()) ?? [];
}

t.test('a limit that is reached is raised where it stands', async (t) => {
  const says = /^LIMIT_MB lets the backups take 9\.0 MiB, and 15\.0 MiB are in use$/;
  t.match(await look('limit'), [{ state: 'failure', says, hint: /raise it with: onedatastore update 100$/ }]);
  t.match(await look('limit', 'backups.ds'), [{ state: 'failure', says, hint: /raise it in backups\.ds$/ }]);
});
