import { cpSync, mkdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { killGroup } from '../helpers/processes';
import { comesWhile } from '../helpers/waits';
import type { BackupsWorld } from './backups-world';

/** Two days ago: a backup so old is none of which oned is just being told. */
const LONG_AGO = Math.floor(Date.now() / 1000) - 2 * 86_400;
const VM = 11;

/** How often a backup may be faster than who is to kill it. */
const MOST_TRIES = 40;

/** Makes a backup of VM 11 whose action is killed when all is stored and nothing is answered; returns its source. */
export async function killUnanswered(b: BackupsWorld): Promise<string> {
  const { w, story, ours } = b;
  const staging = join(w.staging(VM), 'backup');
  const folder = w.repository(VM);
  b.init(String(VM));
  mkdirSync(staging, { recursive: true });
  cpSync(story.foreign.folder, staging, { recursive: true });
  const present = beInThePast(b);
  try {
    for (let tries = 0; tries < MOST_TRIES; tries++) {
      const { child, ended } = w.start(w.script('backup'), ...w.backupCall(VM, [0], 0));
      let stored: string[] = [];
      const isStored = (): boolean => {
        stored = w.traits.stored(folder).filter((name) => /^[0-9a-f]+$/.test(name)); // not what restic still writes
        return stored.length > 0;
      };
      await comesWhile(child, 'the backup is stored', isStored, 1);
      killGroup(child.pid);
      const { stdout, stderr, code } = await ended;
      if (code !== null && code !== 0) throw new Error(stderr);
      const source = (stored[0] ?? '').slice(0, w.driver === 'restic' ? 8 : undefined);
      if (stdout === '' && source !== '') return source;
      await ours.rm([{ id: 0, source }], { vmId: VM });
    }
    throw new Error(`${MOST_TRIES} backups were stored, and none was killed before it had answered`);
  } finally {
    present();
  }
}

/** Sets the clock of what stores backups back; returns what undoes it. */
function beInThePast({ w }: BackupsWorld): () => void {
  const { machine, driver, ssh } = w;
  if (machine !== undefined) {
    machine.shSync(`date --set @${LONG_AGO}`);
    return () => void machine.shSync(`date --set @${Math.ceil(Date.now() / 1000)}`);
  }
  if (driver === 'restic') {
    const program = join(ssh.folder, 'host-bin', 'restic');
    const time = new Date(LONG_AGO * 1000).toISOString().slice(0, 19).replace('T', ' ');
    const script = `for word; do
  shift; set -- "$@" "$word"; [ "$word" != backup ] || set -- "$@" --time '${time}'
done`;
    writeFileSync(program, `#!/bin/sh\n${script}\nexec /usr/bin/restic "$@"\n`, { mode: 0o755 });
    return () => rmSync(program);
  }
  return () => {
    for (const name of w.traits.stored(w.repository(VM))) {
      const manifest = join(w.repository(VM), name, 'manifest.json');
      const text = readFileSync(manifest, 'utf8');
      const time = new Date(LONG_AGO * 1000).toISOString();
      writeFileSync(manifest, text.replace(/"time": ?"[^"]*"/, `"time": "${time}"`));
    }
  };
}

/** Makes the backups of VM 10, which have no manifests, old; returns their sources. */
export function age({ w, neighbour }: BackupsWorld): string[] {
  return neighbour.map(({ source }) => {
    utimesSync(join(w.datastore, '10', source, 'vm.xml'), LONG_AGO, LONG_AGO);
    return source;
  });
}
