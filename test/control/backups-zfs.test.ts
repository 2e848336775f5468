import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import t from 'tap';
import { keepBackups } from './backups-kept';
import { tellBackups } from './backups-told';
import { GONE, openBackups } from './backups-world';

/** In place of guestfish, which cannot run on that machine: says what the disk is that it gets, and fails. */
const TELLING = `#!/bin/sh
qemu-img convert -O raw "$5" /var/tmp/disk && sha256sum </var/tmp/disk >&2
rm -f /var/tmp/disk; exit 1`;

t.test('backups of zfs', async (t) => {
  const b = await openBackups('zfs');
  t.teardown(() => b.stop());
  tellBackups(t, b);

  t.test('files: the disk is read where it lies', async (t) => {
    const { story, chain, w } = b;
    await w.machine?.run('cat >/usr/local/bin/guestfish && chmod 755 /usr/local/bin/guestfish', { input: TELLING });
    const which = ['--vm', '1', '--source', chain[1]?.source ?? '', '--disk', '0'];
    const { code, stderr } = await b.run(b.call('files', ...which), GONE);
    t.equal(code, 9);
    const raw = readFileSync(story.chain[1].disks.get(0) ?? '');
    t.match(stderr, createHash('sha256').update(raw).digest('hex'));
    t.match(stderr, '(on server)');
    t.equal(w.machine?.shSync('ls -A /var/tmp'), '', 'nothing is left there');
  });

  keepBackups(t, b);
});
