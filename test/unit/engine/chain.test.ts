import t from 'tap';
import type { Snapshot } from '../../../lib/command/restic-output';
import { chainOf, findMerged, relatedTo, resolveChain } from '../../../lib/engine/chain';
import { mergedTags, snapshotsOf, vmTag } from '../../../lib/engine/restic/chain';
import { parseVmId } from '../../../lib/opennebula/ids';
import { formatChain, parseChain } from '../../../lib/opennebula/increment';
import { failure } from '../../helpers/failure';

const vm = parseVmId('7', 'VM');
const id = (short: string): string => short.padEnd(64, '0');
const plain = (short: string, tag = vmTag(vm)): Snapshot => ({ id: id(short), time: '', paths: [], tags: [tag] });
const merged = (short: string, replaced: string): Snapshot => ({
  ...plain(short),
  tags: mergedTags(vm, parseChain(replaced, 'x')),
});
const resolved = (all: Snapshot[], chain: string): string =>
  formatChain(chainOf(resolveChain(snapshotsOf(all, vm), parseChain(chain, 'x'), vm)));
const related = (all: Snapshot[], chain: string): string[] =>
  relatedTo(snapshotsOf(all, vm), parseChain(chain, 'x'))
    .map(({ source }) => source)
    .sort();

t.test('a chain whose snapshots are there is itself, other VMs aside', async (t) => {
  const all = [plain('aaaaaaaa'), plain('bbbbbbbb'), plain('cccccccc', 'one-70')];
  t.equal(resolved(all, '0:aaaaaaaa,1:bbbbbbbb'), '0:aaaaaaaa,1:bbbbbbbb');
  t.throws(
    () => resolved(all, '0:aaaaaaaa,1:cccccccc'),
    failure('notFound', /increment 1 of VM 7 is gone/),
    "another VM's snapshot is none of ours",
  );
});

t.test('when oned never heard of a flatten, the merged snapshot stands for what is gone', async (t) => {
  const all = [merged('ffffffff', '0:aaaaaaaa,1:bbbbbbbb'), plain('cccccccc')];
  t.equal(resolved(all, '0:aaaaaaaa,1:bbbbbbbb,2:cccccccc'), '1:ffffffff,2:cccccccc');
  t.equal(resolved(all, '0:aaaaaaaa,1:bbbbbbbb'), '1:ffffffff');
  t.equal(
    resolved([...all, plain('bbbbbbbb')], '0:aaaaaaaa,1:bbbbbbbb,2:cccccccc'),
    '1:ffffffff,2:cccccccc',
    'killed half way',
  );
  t.throws(() => resolved(all, '0:aaaaaaaa'), failure('notFound'), 'a point that was merged away is gone');
  t.throws(
    () => resolved(all, '0:aaaaaaaa,1:dddddddd,2:cccccccc'),
    failure('notFound'),
    'it stands for exactly what it replaces',
  );
});

t.test('a merged snapshot is known by exactly what it replaces', async (t) => {
  const all = [merged('ffffffff', '0:aaaaaaaa,1:bbbbbbbb')];
  t.equal(findMerged(snapshotsOf(all, vm), parseChain('0:aaaaaaaa,1:bbbbbbbb', 'x'))?.id, id('ffffffff'));
  t.equal(findMerged(snapshotsOf(all, vm), parseChain('0:aaaaaaaa,1:bbbbbbbb,2:cccccccc', 'x')), undefined);
  t.equal(findMerged(snapshotsOf(all, vm), parseChain('0:aaaaaaaa', 'x')), undefined);
});

t.test(
  'what belongs together: sources, what was merged from them, what they were merged from, and nothing else',
  async (t) => {
    const orphan = merged('eeeeeeee', '1:ffffffff,2:cccccccc');
    const all = [
      plain('aaaaaaaa'),
      merged('ffffffff', '0:aaaaaaaa,1:bbbbbbbb'),
      plain('cccccccc'),
      orphan,
      plain('99999999'),
      plain('aaaaaaaa', 'one-70'),
    ];
    t.strictSame(related(all, '1:ffffffff'), ['aaaaaaaa', 'cccccccc', 'eeeeeeee', 'ffffffff']);
    t.strictSame(related(all, '0:99999999'), ['99999999']);
    t.strictSame(related(all, '0:77777777'), []);
  },
);
