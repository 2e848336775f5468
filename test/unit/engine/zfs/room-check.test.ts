import t from 'tap';
import type { Dataset } from '../../../../lib/command/zfs-list';
import { roomCheck } from '../../../../lib/engine/zfs/room-check';
import type { Mend } from '../../../../lib/errors';

const MIB = 2 ** 20;
const OWN = 'tank/backups/100';
const byRoot = (command: string): Mend => ({ commands: [{ command, asRoot: true }] });

/** Examines the datastore's dataset, of which so much is used and available, under the quotas of some datasets. */
function examine(usedBytes: number, availableBytes: number, quotas: Readonly<Record<string, number>>) {
  const asDataset = (name: string) => ({ name, usedBytes, availableBytes, quotaBytes: quotas[name] ?? 0 }) as Dataset;
  return roomCheck(asDataset(OWN), OWN, { look: async (name) => asDataset(name), byRoot });
}

t.test('where there is room nobody looks for quotas', async (t) => {
  const look = () => Promise.reject(new Error('looked'));
  const held = { name: OWN, usedBytes: MIB, availableBytes: 999 * MIB };
  t.match(await roomCheck(held, OWN, { look, byRoot }), { state: 'ok', says: / 999 MiB free/ });
});

t.test('the quota of a dataset above is named, with what raises it', async (t) => {
  const check = await examine(100 * MIB, 2 * MIB, { 'tank/backups': 101 * MIB });
  t.match(check, {
    state: 'failure',
    says: /^full: /,
    hint: 'The quota of tank/backups is reached: raise it, or remove old backups',
    mend: { commands: [{ command: `zfs set quota=${202 * MIB} tank/backups` }] },
  });
});

t.test('a small quota is reached long before its last twentieth: what is left takes no backup', async (t) => {
  const check = await examine(80 * MIB, 12 * MIB, { 'tank/backups': 92 * MIB });
  t.match(check, { state: 'failure', hint: /^The quota of tank\/backups is reached/ });
});

t.test('the quota of the datastore itself is raised in its template', async (t) => {
  const check = await examine(80 * MIB, 12 * MIB, { [OWN]: 92 * MIB });
  t.match(check, { state: 'failure', hint: /raise ZFS_QUOTA of the datastore/ });
  t.equal(check.mend, undefined);
});

t.test('a pool that is full without any quota: what shows who takes the room', async (t) => {
  const check = await examine(900 * MIB, 2 * MIB, { 'tank/backups': 9000 * MIB });
  t.match(check, { state: 'failure', hint: /there by: zfs list -ro space tank$/ });
  t.equal(check.mend, undefined);
});
