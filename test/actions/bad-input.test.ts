import t from 'tap';
import { factsOf } from '../../build/drivers';
import type { ErrorKind } from '../../lib/errors';
import { BackedUpVm } from '../helpers/backed-up-vm';
import { DRIVERS } from '../helpers/drivers';
import { type FrontEndWorld, startFrontEnd } from '../helpers/front-end';
import { type MessageName, withContent, withText } from '../helpers/messages';
import { type Edit, type Refusal, refuse, twice, without } from '../helpers/refusal';

const MIB = 2 ** 20;
/** A source that no repository holds; what is refused must be refused before that is found out. */
const CHAIN = [{ id: 0, source: '0a1b2c3d' }];
let world: FrontEndWorld;
let vm: BackedUpVm;

const base64 = (text: string): string => Buffer.from(text).toString('base64');
const open = (packed: string): string => Buffer.from(packed, 'base64').toString();
const image = (name: MessageName, edit?: Edit): string => world.imageMessage(name, 1, CHAIN, edit);
const monitor = (edit?: Edit): string => world.message('monitor', edit);

for (const driver of DRIVERS) {
  t.test(driver, async (t) => {
    world = await startFrontEnd({ driver, withoutMachine: true });
    t.teardown(() => world.stop());

    vm = new BackedUpVm(world, 1);
    vm.stage(0);

    t.test('what is no message', async (t) => {
      const bomb = `<!DOCTYPE x [<!ENTITY a "aaaa">${Array.from({ length: 9 }, (_, n) => `<!ENTITY a${n} "${`&a${n === 0 ? '' : n - 1};`.repeat(10)}">`).join('')}]>`;
      const external = '<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>';
      const plain = open(monitor());
      const large = plain.replace('<ID>', () => `<!--${'x'.repeat(16 * MIB)}--><ID>`);
      const of = (name: string, stdin: string, says: RegExp): Refusal => ({
        ...{ name, stdin, says },
        action: world.script('monitor'),
        kind: 'message',
      });
      await refuse(t, world, [
        of('empty', '', /empty/),
        of('blank', ' \n\n', /empty/),
        of('not base64', 'this is no message!', /neither XML nor base64/),
        of('base64 of something else', base64('hello, world'), /base64, but not of XML/),
        of('base64 cut off', monitor().slice(0, 1001), /neither XML nor base64/),
        of('base64 cut off at a boundary', monitor().slice(0, 1000), /not well-formed|cut off/),
        of('XML cut off in an element', plain.slice(0, plain.indexOf('<BASE_PATH>') + 5), /not well-formed/),
        of('XML cut off in CDATA', plain.slice(0, plain.indexOf('<BASE_PATH>') + 25), /cut off inside a CDATA/),
        of('XML cut off between elements', plain.slice(0, plain.indexOf('<TYPE>3')), /not well-formed/),
        of('NULs', '\0'.repeat(100), /neither XML nor base64/),
        of('two documents', plain + plain, /not (well-formed|one XML element)/),
        of('a DTD', `<!DOCTYPE x>${plain}`, /DTD/),
        of('an external entity', external + plain.replace('<ID>100', '<ID>&e;'), /DTD/),
        of('nested entities', bomb + plain.replace('<ID>100', '<ID>&a8;'), /DTD/),
        of('an entity in base64', base64(external + plain), /DTD/),
        of('an entity of nobody', plain.replace('<ID>100', '<ID>&e;'), /entity that XML does not define/),
        of('over 16 MiB of XML', large, /larger than 16 MiB/),
        of('over 16 MiB in base64', base64(large), /larger than 16 MiB/),
        of('very deep', `${'<a>'.repeat(5000)}${'</a>'.repeat(5000)}`, /nested/i),
        of('another root', '<HELLO/>', /no DATASTORE/),
      ]);
    });

    t.test('a missing or repeated element', async (t) => {
      const of = (action: string, stdin: string, says: RegExp, kind: ErrorKind = 'message'): Refusal => ({
        ...{ stdin, says, kind },
        name: `${action} ${says}`,
        action: world.script(action),
      });
      const backup = (edit: Edit): Refusal => ({
        ...of('backup', edit(vm.call(0)[1]), /BACKUP_CONFIG|VM/),
        args: vm.call(0)[0],
      });
      const { named } = world.traits;
      const must = factsOf(driver).required;
      await refuse(t, world, [
        of('monitor', monitor(without('DATASTORE')), /no DATASTORE/),
        of('monitor', monitor(twice('DATASTORE')), /repeats DATASTORE/),
        of('monitor', monitor(without('ID')), /no DATASTORE\/ID/),
        of('monitor', monitor(twice('ID')), /repeats DATASTORE\/ID/),
        of('monitor', monitor(without('BASE_PATH')), /no DATASTORE\/BASE_PATH/),
        of('monitor', monitor(without('TEMPLATE')), /no DATASTORE\/TEMPLATE/),
        of('monitor', monitor(without('DS_MAD')), /no DATASTORE\/DS_MAD/),
        ...must.map((name) => of('monitor', monitor(without(name)), new RegExp(`no ${name}`), 'config')),
        of('monitor', monitor(twice(named.server)), new RegExp(`repeats .*${named.server}`)),
        of(
          'monitor',
          monitor((text) => withText(text, '', 'ID', '')),
          /DATASTORE\/ID is empty/,
        ),
        of('rm', image('rm-increments', without('IMAGE')), /no IMAGE/),
        of('rm', image('rm-increments', without('VMS')), /no IMAGE\/VMS/),
        of(
          'rm',
          image('rm-increments', (text) => withContent(text, 'VMS', '<ID>1</ID><ID>2</ID>')),
          /exactly one VM/,
        ),
        of(
          'rm',
          image('rm-increments', (text) => withContent(text, 'VMS', '')),
          /exactly one VM/,
        ),
        of('rm', image('rm-increments', twice('BACKUP_INCREMENTS')), /repeats IMAGE\/BACKUP_INCREMENTS/),
        of('rm', image('rm-increments', twice('INCREMENT')), /out of order or twice/),
        of(
          'ls',
          image('ls-i2', (text) => text.replace(/\n<IMAGE>\n[\s\S]*\n<\/IMAGE>/, '')),
          /no IMAGE/,
        ),
        of('stat', world.message('stat-from-backup-ds', without('PATH')), /no IMAGE\/PATH/),
        of('increment_flatten', image('increment_flatten', without('EXTRA_DATA')), /no EXTRA_DATA/),
        of('increment_flatten', image('increment_flatten', without('KEEP_LAST')), /no EXTRA_DATA\/KEEP_LAST/),
        of('restore', image('restore-increment-named', without('USERNAME')), /no TEMPLATE\/USERNAME/),
        of('restore', image('restore-increment-named', without('DESTINATION_DS_ID')), /no DESTINATION_DS_ID/),
        backup(without('VM')),
        backup(twice('VM')),
        backup(without('BACKUP_CONFIG')),
        { ...of('backup_cancel', '<HELLO/>', /no VM/), args: ['host1:/d', 'one-1'] },
      ]);
    });
  });
}
