import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { BackedUpVm, TPM_STATE } from '../helpers/backed-up-vm';
import { UNDER_TEST } from '../helpers/drivers';
import { type Ended, type FrontEndWorld, startFrontEnd } from '../helpers/front-end';
import { withContent } from '../helpers/messages';
import type { OnedCall } from '../helpers/oned';
import { type ParsedTemplate, parseTemplateText } from '../helpers/oned-template';

const NIC =
  '<NIC><NETWORK><![CDATA[net]]></NETWORK><IP>10.0.0.7</IP><MAC>02:00:0a:00:00:07</MAC><BRIDGE>br0</BRIDGE></NIC>';
let world: FrontEndWorld;
let vm: BackedUpVm;

/** Runs restore with these elements in TEMPLATE, and returns how it ended and what it asked of oned. */
async function restore(asked: Readonly<Record<string, string>>): Promise<{ ended: Ended; calls: OnedCall[] }> {
  const elements = Object.entries({ USERNAME: 'alice', ...asked }).map(
    ([name, value]) => `<${name}><![CDATA[${value}]]></${name}>`,
  );
  const before = world.oned.calls.length;
  const message = world.imageMessage('restore-increment-named', vm.id, vm.chain, (text) => {
    const at = text.lastIndexOf('<TEMPLATE>');
    return text.slice(0, at) + withContent(text.slice(at), 'TEMPLATE', elements.join(''));
  });
  const ended = await world.run(world.script('restore'), ['2'], message);
  return { ended, calls: world.oned.calls.slice(before) };
}

function template(call: OnedCall | undefined): ParsedTemplate {
  const text = String(call?.params[0]);
  if (text.startsWith('<')) throw new Error('the test reads the text form only');
  return parseTemplateText(text);
}

function values(parsed: ParsedTemplate, name: string): (string | Record<string, string>)[] {
  return parsed.filter(([one]) => one === name).map(([, value]) => value);
}

for (const driver of UNDER_TEST) {
  t.test(driver, async (t) => {
    world = await startFrontEnd({ driver });
    t.teardown(() => world.stop());
    vm = new BackedUpVm(world, 1, { tpm: true, template: NIC });
    for (let increment = 0; increment < 2; increment++) await vm.backUp();

    t.test('images and a template, as the user who asked', async (t) => {
      const { ended, calls } = await restore({});
      t.strictSame([ended.code, ended.stderr], [0, '']);
      const methods = calls.map(({ method }) => method);
      t.strictSame(methods, ['one.image.allocate', 'one.image.allocate', 'one.template.allocate']);
      for (const { user, via, expiresAt } of calls) {
        t.strictSame([user, via], ['alice', 'serveradmin']);
        t.ok(Number(expiresAt) < Date.now() / 1000 + 3600, 'the session does not live long');
      }
      const base = `1-${vm.chain[1]?.source}`;
      for (const disk of [0, 1]) {
        t.equal(calls[disk]?.params[1], 101, 'in the destination datastore');
        t.strictSame(
          new Map(template(calls[disk])),
          new Map([
            ['NAME', `${base}-disk-${disk}`],
            ['TYPE', disk === 0 ? 'OS' : 'DATABLOCK'],
            ['PATH', vm.url(disk)],
            ['FROM_BACKUP_DS', '100'],
          ]),
        );
      }
      const made = template(calls[2]);
      t.strictSame(values(made, 'NAME'), [base]);
      t.strictSame(values(made, 'TPM_STATE'), [TPM_STATE.toString('base64')]);
      const disks = values(made, 'DISK') as Record<string, string>[];
      const [first, second] = ended.stdout.trim().split(' ').slice(1);
      t.strictSame(
        disks.slice(0, 2).map((disk) => disk.IMAGE_ID),
        [first, second],
      );
      t.notMatch(made.map(([name]) => name).join(), /VMID|TEMPLATE_ID|AUTOMATIC/);
      t.ok(values(made, 'NIC').length > 0, 'the VM keeps its NICs');
    });

    t.test('a name, and an increment', async (t) => {
      const { ended, calls } = await restore({ NAME: `it's "back" & <up>`, INCREMENT_ID: '0' });
      t.equal(ended.code, 0, ended.stderr);
      t.strictSame(values(template(calls[0]), 'NAME'), [`it's "back" & <up>-disk-0`]);
      t.strictSame(values(template(calls[0]), 'PATH'), [vm.url(0, 0)]);
      t.strictSame(values(template(calls[2]), 'NAME'), [`it's "back" & <up>`]);
      const last = await restore({ INCREMENT_ID: '-1' });
      t.strictSame(values(template(last.calls[0]), 'PATH'), [vm.url(0)]);
      const none = await restore({ INCREMENT_ID: '7' });
      t.strictSame([none.ended.code, none.ended.stdout, none.calls], [6, '', []]);
      t.equal(none.ended.stderr, 'the backup has no increment 7. Choose one of: 0, 1.\n');
    });

    t.test('one disk: an image and no template', async (t) => {
      const { ended, calls } = await restore({ DISK_ID: '1' });
      t.equal(ended.code, 0, ended.stderr);
      t.match(ended.stdout, /^-1 \d+\n$/);
      t.strictSame(
        calls.map(({ method }) => method),
        ['one.image.allocate'],
      );
      t.strictSame(values(template(calls[0]), 'PATH'), [vm.url(1)]);
      const none = await restore({ DISK_ID: '5' });
      t.strictSame([none.ended.code, none.ended.stdout, none.calls], [6, '', []]);
      t.match(none.ended.stderr, /^the backup of VM 1 holds no disk 5\. Choose one of: 0, 1\.\n$/);
    });

    t.test('NO_IP and NO_NIC', async (t) => {
      const nics = async (asked: Record<string, string>): Promise<Record<string, string>[]> => {
        const { ended, calls } = await restore(asked);
        t.equal(ended.code, 0, ended.stderr);
        return values(template(calls[2]), 'NIC') as Record<string, string>[];
      };
      const kept = await nics({ NO_IP: 'NO', NO_NIC: 'no' });
      t.ok(
        kept.some((nic) => 'IP' in nic || 'MAC' in nic),
        'an address is kept',
      );
      for (const nic of await nics({ NO_IP: 'YES' })) t.notMatch(Object.keys(nic).join(), /^(IP|MAC|IP6)/m);
      t.equal((await nics({ NO_IP: 'YES' })).length, kept.length);
      t.strictSame(await nics({ NO_NIC: 'yes' }), []);
    });

    t.test('when oned refuses, the error lists what was created', async (t) => {
      const count = (method: string): number => world.oned.calls.filter((call) => call.method === method).length;
      const refuse = (method: string, nth: number): void => {
        world.oned.behaviour = {
          refuse: { method, nth: count(method) + nth, message: 'Not authorized: "quota".\nReally' },
        };
      };
      t.teardown(() => {
        world.oned.behaviour = {};
      });
      refuse('one.image.allocate', 2);
      const second = await restore({});
      t.strictSame([second.ended.code, second.ended.stdout, second.calls.length], [13, '', 2]);
      const said = second.ended.stderr;
      t.match(
        said,
        /^images \d+ were created, then: oned refused one\.image\.allocate: Not authorized: "quota"\. Really\. [^\n]*\n$/,
      );
      const created = /^images (\d+) were created, then: [^\n]*oneimage delete (\d+)\.$/m.exec(said);
      t.ok(created, said);
      t.equal(created?.[1], created?.[2]);

      refuse('one.template.allocate', 1);
      const third = await restore({});
      t.strictSame([third.ended.code, third.ended.stdout, third.calls.length], [13, '', 3]);
      t.match(third.ended.stderr, /^images \d+, \d+ were created, then: [^\n]*oneimage delete \d+,\d+\.$/m);

      refuse('one.image.allocate', 1);
      const first = await restore({});
      t.strictSame([first.ended.code, first.ended.stdout, first.calls.length], [13, '', 1]);
      t.notMatch(first.ended.stderr, /were created/);
    });

    t.test('when oned cannot be asked', async (t) => {
      world.oned.behaviour = { raw: { status: 500, body: 'oops' } };
      const failing = await restore({});
      world.oned.behaviour = {};
      t.strictSame([failing.ended.code, failing.ended.stdout], [13, '']);
      t.match(failing.ended.stderr, /^oned answered one\.image\.allocate with HTTP status 500 [^\n]*\n$/);

      const auth = join(world.varDir, '.one', 'onegate_auth');
      writeFileSync(auth, 'serveradmin:wrong\n');
      const stranger = await restore({});
      t.strictSame([stranger.ended.code, stranger.ended.stdout], [13, '']);
      t.match(stranger.ended.stderr, /^oned refused one\.image\.allocate: .*couldn't be authenticated[^\n]*\n$/);
      t.notMatch(stranger.ended.stderr, /wrong/, 'without the credentials');
    });
  });
}
