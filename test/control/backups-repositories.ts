import { chmodSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';
import { type BackupsWorld, GONE } from './backups-world';

/** Repositories of which some cannot be read. */
export function damageRepositories(t: Test, b: BackupsWorld): void {
  const { w, at, call, putBack } = b;
  const spoil = (...path: string[]): void => {
    const file = join(w.datastore, ...path);
    chmodSync(file, 0o600);
    writeFileSync(file, 'x'.repeat(200));
  };

  t.test('a repository that cannot be read is no reason to be silent about the others', async (t) => {
    spoil('job_0', 'config');
    const told = await b.run(call('list', '--json'), GONE);
    t.not(told.code, 0, 'which is no success: there may be more');
    t.match(JSON.parse(told.stdout).failures, [/job_0/]);
    t.equal(JSON.parse(told.stdout).backups.length, 6, 'all but that of the job');
    t.match(told.stderr, /warning: not listed: .*job_0/s);
    const restored = await b.run(call('restore', '--vm', '10', '--to', at('beside')), GONE);
    t.equal(restored.code, 0, restored.stderr);
    const verified = await b.run(call('verify', '--json'), GONE);
    t.equal(verified.code, 1);
    t.match(JSON.parse(verified.stdout).findings, [{ vm: null, what: /job_0/ }]);
    const pruned = await b.run(call('prune'), GONE);
    t.not(pruned.code, 0);
    t.match(pruned.stdout, /\/10: /, 'the others are told');
    const swept = await b.run(call('sweep', '--json'), GONE);
    t.not(swept.code, 0);
    t.match(JSON.parse(swept.stdout), { leftovers: [] });
    for (const name of ['1', '10']) spoil(name, 'config');
    t.not((await b.run(call('list'), GONE)).code, 0, 'a failure of all is one');
    putBack();
  });

  t.test('where restic cannot begin to check, what it cannot list is damaged', async (t) => {
    for (const index of readdirSync(join(w.datastore, '1', 'index'))) spoil('1', 'index', index);
    const { code, stdout } = await b.run(call('verify', '--json'), GONE);
    t.equal(code, 1);
    const { findings, vms } = JSON.parse(stdout);
    const lost = b.chain.map(({ source }) => ({ vm: 1, source, disk: null, what: 'its data is damaged' }));
    t.match(findings, lost);
    t.equal(findings.length, lost.length, 'and nothing else is blamed');
    t.match(vms, [
      { vm: 1, result: 'damaged' },
      { vm: 10, result: 'ok' },
    ]);
    putBack();
  });
}
