import { spawnSync } from 'node:child_process';
import t from 'tap';
import { lookFor, parseFound } from '../../../lib/command/supervise';

const NOBODY = 65534;

/**
 * Whether a restic is found by somebody, where there is none but what `lay` puts below /var/tmp/one. In a mount namespace,
 * which only root can make (as CI is): nothing of this computer changes.
 */
function finds(uid: number, lay: string): boolean {
  const script = `
    uid=$1; shift
    mount -t tmpfs -o mode=1777 none /var/tmp
    for installed in /usr/local/bin/restic /usr/bin/restic; do [ ! -e $installed ] || mount --bind /dev/null $installed; done
    folder=/var/tmp/one/datastore/restic
    mkdir -p $folder; echo '#!/bin/sh' >$folder/restic; chmod 755 $folder/restic
    ${lay}
    exec setpriv --reuid $uid --clear-groups "$@"`;
  const words = ['--mount', 'sh', '-euc', script, 'look', String(uid), ...lookFor(['restic'])];
  const { status, stdout, stderr } = spawnSync('unshare', words, {
    encoding: 'utf8',
    env: { PATH: '/usr/bin:/bin:/usr/sbin' },
  });
  if (status !== 0) throw new Error(stderr);
  return parseFound(stdout, ['restic']).has('restic');
}

const needsRoot = process.getuid?.() === 0 ? false : 'only root can make a mount namespace';

t.test('the restic that onehost sync brought is found', { skip: needsRoot }, async (t) => {
  t.ok(finds(0, ''), 'by root, of root');
  t.ok(finds(NOBODY, ''), 'by another login, of root');
  t.ok(finds(NOBODY, `chown -R ${NOBODY} /var/tmp/one`), 'by the login that it belongs to');
  t.ok(finds(NOBODY, `chown ${NOBODY} /var/tmp/one`), 'some of it of root, some of the login');
});

t.test('what somebody else has put there is never run', { skip: needsRoot }, async (t) => {
  for (const place of ['/var/tmp/one', '/var/tmp/one/datastore', '$folder', '$folder/restic'])
    for (const uid of [0, NOBODY]) t.notOk(finds(uid, `chown 1234 ${place}`), `${place} for ${uid}`);
  const link = 'mv /var/tmp/one /var/tmp/real; ln -s real /var/tmp/one';
  t.notOk(finds(NOBODY, `${link}; chown -h 1234 /var/tmp/one`), 'a link of theirs to a folder of root');
  t.notOk(finds(NOBODY, `${link}; chown 1234 /var/tmp/real`), 'a link of root to a folder of theirs');
  t.ok(finds(NOBODY, link), 'a link of root to one of root is as good as a folder');
});
