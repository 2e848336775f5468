import t from 'tap';
import { explainZfsFailure } from '../../../lib/command/zfs-failure';
import { askHealth } from '../../../lib/command/zfs-rights';

/** What is made of what zfs (OpenZFS 2.3) said. */
const told = (stderr: string, exitCode = 1) =>
  explainZfsFailure({ exitCode, stdout: '', stderr }, 'server', 'look at it', undefined);

t.test('only what the admin makes is to be made by hand', async (t) => {
  const missing = (name: string): string => `cannot open '${name}': dataset does not exist\n`;
  t.match(told(missing('tank/backups')), { kind: 'notFound', hint: /or make it: zfs create tank\/backups$/ });
  for (const name of ['tank/backups/100', 'tank/backups/100/7']) {
    const error = told(missing(name));
    t.match(error, { kind: 'notFound', hint: /zpool import.*renamed/ }, name);
    t.notMatch(error?.hint, 'create', name);
  }
});

t.test('a server without zfs lacks no dataset', async (t) => {
  t.match(told('sh: 1: zfs: not found\n', 127), { kind: 'noProgram', message: /there is no zfs \(on server\)/ });
  t.match(told('sudo: zfs: command not found\n'), { kind: 'noProgram' });
});

t.test('a pool that is not imported', async (t) => {
  const ask = askHealth('tank');
  const outcome = { exitCode: 1, stdout: '', stderr: "cannot open 'tank': no such pool\n" };
  t.match(ask.classify?.(outcome, 'server'), { kind: 'notFound', message: 'there is no pool tank (on server)' });
  t.equal(ask.classify?.({ ...outcome, stderr: 'something else\n' }, 'server'), undefined);
});
