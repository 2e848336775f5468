import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import t from 'tap';
import { listDeadFillings } from '../../../lib/command/leftovers';
import { leftFilling } from '../../../lib/engine/left-filling';
import type { Host } from '../../../lib/host/host';
import { parseAbsolutePath } from '../../../lib/opennebula/ids';

t.test('a transfer is of use only with data of a disk', async (t) => {
  const folder = t.testdir({
    7: {
      '.receiving-0a': {},
      '.receiving-0b': { 'vm.xml': '<VM/>', 'disk.0.0': '' },
      '.receiving-0c': { 'disk.0.0': '', 'disk.1.0': 'x' },
      '.merging-0d': { 'disk.0.0': 'x' },
      '.removing-0e': { 'disk.0.0': 'x' },
      '0f': { 'disk.0.0': 'x' },
    },
  });
  const { argv, parse } = listDeadFillings(parseAbsolutePath(folder, 'a folder'));
  const stdout = execFileSync(argv[0], argv.slice(1), { encoding: 'utf8' });
  const found = parse({ exitCode: 0, stdout, stderr: '' }).map((one) => leftFilling({ name: 'server' } as Host, one));
  const told = found.map(({ what, where, bytes, isOfUse = false }) => {
    return { name: where.replace(`server:${join(folder, '7')}/`, ''), what, isOfUse, isEmpty: bytes === 0 };
  });
  t.strictSame(told, [
    ...['0a', '0b'].map((name) => ({
      ...{ name: `.receiving-${name}`, isOfUse: false, isEmpty: true },
      what: 'a transfer that was broken off before any data',
    })),
    {
      ...{ name: '.receiving-0c', isOfUse: true, isEmpty: false },
      what: 'a broken transfer, with which the next backup of the VM would go on',
    },
    { name: '.merging-0d', what: 'a merge that was broken off', isOfUse: false, isEmpty: false },
    { name: '.removing-0e', what: 'a backup that was being removed', isOfUse: false, isEmpty: false },
  ]);
});
