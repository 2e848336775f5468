import { chmodSync, chownSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { CommandLine } from '../../../lib/control/call';
import { parseCommandLine } from '../../../lib/control/command-line';
import { frontEndLinks } from '../../../lib/control/front-end-links';
import { ACTIONS } from '../../../lib/control/oned-call';
import type { ControlContext } from '../../../lib/control/subcommand';
import { subcommands } from '../../../lib/control/subcommands';
import type { Check } from '../../../lib/engine/examination';
import { rsyncDriver } from '../../../lib/engine/rsync/driver';
import { host, only } from './fake-host';

/** The front-end's own links, by name, with a call and the folder of its data. */
async function frontEnd(varDir: string, words: readonly string[], what: string): Promise<Check> {
  const line = await parseCommandLine(subcommands, words);
  if (!(line instanceof CommandLine)) throw new Error('text, not a call');
  const context = { line, frontEnd: { varDir, onedConf: join(varDir, 'oned.conf') } } as unknown as ControlContext;
  const links = frontEndLinks({ driver: rsyncDriver }, context, host([], { stat: [0, 'somebody\n'] }), []);
  return only(links.find((link) => link.what === what));
}

t.test('another user is to make the same call, word for word', async (t) => {
  const varDir = t.testdir({});
  if (process.getuid?.() === 0) chownSync(varDir, 65_534, 65_534);
  const whose = process.getuid?.() === 0 ? varDir : '/';
  const user = async (...words: string[]) => (await frontEnd(whose, words, 'user')).mend?.commands[0].command;
  t.equal(
    await user('register', '--print', 'my backups.ds', '--cluster', '3', '--host', 'host1'),
    "sudo -u somebody backupctl register --print 'my backups.ds' --cluster 3 --host host1",
  );
  t.equal(
    await user('doctor', '100', '--host=a', '--host', 'b', '--problems'),
    'sudo -u somebody backupctl doctor 100 --host=a --host b --problems',
  );
});

t.test('the scripts: all of ours, and executable', async (t) => {
  const OURS = '#!/bin/sh\n// Built by build/bundle.ts\n';
  const names = Object.keys(ACTIONS);
  const actions = (change: Readonly<Record<string, string | undefined>>, downloader: string | undefined = OURS) => {
    const all = { ...Object.fromEntries(names.map((name) => [name, OURS])), ...change };
    const folder = t.testdir({ remotes: { datastore: { rsync: {} } } });
    const datastore = join(folder, 'remotes', 'datastore');
    for (const [name, script] of Object.entries(all))
      if (script !== undefined) writeFileSync(join(datastore, 'rsync', name), script, { mode: 0o755 });
    if (downloader !== undefined) writeFileSync(join(datastore, 'rsync_downloader.rb'), downloader, { mode: 0o755 });
    return { datastore, look: () => frontEnd(folder, ['doctor', '1'], 'actions') };
  };
  const all = actions({});
  t.match(await all.look(), { state: 'ok' });
  chmodSync(join(all.datastore, 'rsync', 'backup'), 0o644);
  t.match(await all.look(), {
    ...{ state: 'failure', says: 'backup cannot be executed' },
    mend: { commands: [{ command: /^chmod 755 \S+\/rsync\/backup$/, asRoot: true }] },
  });

  const none = await actions(Object.fromEntries(names.map((name) => [name, undefined])), '').look();
  t.match(none, { state: 'failure', says: /^rsync_downloader\.rb in .* is not of this suite$/ });
  const bare = await frontEnd(t.testdir({}), ['doctor', '1'], 'actions');
  t.match(bare, { state: 'failure', says: /^there are none in /, hint: /^Run npm run install-drivers in/ });
  t.notMatch(bare.hint, /again|upgrade/);
  t.match(await actions({ ls: undefined, rm: undefined }).look(), {
    ...{ state: 'failure', says: /^there is no (ls and no rm|rm and no ls) in / },
    hint: /again$/,
  });
  const stock = Object.fromEntries(names.map((name) => [name, '#!/usr/bin/env ruby\n']));
  t.match(await actions(stock, '#!/usr/bin/env ruby\n').look(), {
    ...{ state: 'failure', says: /^those in .* are not of this suite$/ },
    hint: /^An upgrade .*\. Run npm run install-drivers in .* again$/,
  });
});
