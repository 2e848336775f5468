import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { chainIn, startFaultWorld } from '../faults/fault-world';

/** SFTP sees all; what a shell runs does not see the folder that the file names, as on a NAS that shows its shares elsewhere. */
const FORCED = (hidden: string): string => `#!/bin/sh
case $SSH_ORIGINAL_COMMAND in internal-sftp) exec /usr/lib/openssh/sftp-server ;; esac
[ -e ${hidden} ] || exec sh -c "$SSH_ORIGINAL_COMMAND"
[ "$(id -u)" = 0 ] && as=-m || as=-rm
exec unshare $as sh -c 'mount -t tmpfs none "$(cat ${hidden})" && exec sh -c "$SSH_ORIGINAL_COMMAND"'
`;

t.test('restic: a server whose shell sees other folders than its SFTP', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'one-backup-folders-'));
  const [forced, hidden] = [join(folder, 'forced'), join(folder, 'hidden')];
  writeFileSync(forced, FORCED(hidden), { mode: 0o755 });
  const faults = await startFaultWorld({ sshdConfig: `ForceCommand ${forced}` });
  t.teardown(async () => {
    await faults.stop();
    rmSync(folder, { recursive: true });
  });
  const { world } = faults;
  const repository = world.repository(1);
  faults.init(repository);
  const disk = faults.newDisk('vm1');
  const chain = await faults.makeChain(1, disk, 3);
  writeFileSync(hidden, world.datastore);
  t.ok(existsSync(join(repository, 'config')));

  const before = faults.programCalls().length;
  const flattened = await world.run(
    world.script('increment_flatten'),
    ['6'],
    world.imageMessage('increment_flatten', 1, chain),
  );
  t.equal(flattened.code, 0, flattened.stderr);
  const kept = chainIn(flattened);
  t.equal(kept.length, 2);
  const ran = faults.programCalls().slice(before);
  t.ok(ran.some((call) => call.includes(' -r sftp:')));
  t.same(
    ran.filter((call) => call.includes(' -r /')),
    [],
    'none of it on the server',
  );
  for (const { id } of kept) t.equal(await faults.differs(1, kept, id, disk.at(String(id))), undefined);

  const removed = await world.run(world.script('rm'), ['6'], world.imageMessage('rm-increments', 1, kept));
  t.equal(removed.code, 0, removed.stderr);
  t.same(world.traits.stored(repository), []);
});
