import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';
import { type BackupsWorld, GONE } from './backups-world';

/** Repositories of which some cannot be read. */
export function damageRepositories(t: Test, b: BackupsWorld): void {
  const { w, at, call, putBack } = b;
  const spoil = (name: string): void => {
    const path = join(w.datastore, name, 'config');
    chmodSync(path, 0o600);
    writeFileSync(path, 'x'.repeat(200));
  };

  t.test('a repository that cannot be read is no reason to be silent about the others', async (t) => {
    spoil('job_0');
    const told = await b.run(call('list', '--json'), GONE);
    t.equal(told.code, 0);
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
    for (const name of ['1', '10']) spoil(name);
    t.not((await b.run(call('list'), GONE)).code, 0, 'a failure of all is one');
    putBack();
  });
}
