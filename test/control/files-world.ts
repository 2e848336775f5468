import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, readdirSync, readFileSync, utimesSync, writeFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { formatTemplate } from '../../lib/opennebula/template-text';
import { StockDriver } from '../conformance/stock-driver';
import { StockRsyncDriver } from '../conformance/stock-rsync-driver';
import { TRAITS } from '../helpers/drivers';
import { type Ended, startFrontEnd } from '../helpers/front-end';
import { quickenKey } from '../helpers/quick-key';
import { layDisk, makeDisk, writeRoot } from './guest-disks';

/** Nobody listens there: oned is gone. */
const GONE = { ONE_XMLRPC: 'http://127.0.0.1:1/RPC2' };
const STAND_IN = require.resolve('../helpers/guestfish-stand-in.cjs');
const VM = 7;

/** Backups of a VM whose disks hold filesystems, by the stock rsync driver, and by the stock restic driver. */
export async function openWorld() {
  const w = await startFrontEnd({ driver: 'rsync' });
  const at = (...names: string[]): string => join(w.folder, ...names);
  const stages = [0, 1, 2].map((stage) => {
    const folder = at('stages', String(stage));
    mkdirSync(join(folder, 'backup'), { recursive: true });
    writeRoot(join(folder, 'root'), stage);
    makeDisk(join(folder, 'disk.0'), [join(folder, 'root')]);
    if (stage === 0) makeDisk(join(folder, 'disk.1'), [join(folder, 'root', 'etc'), join(folder, 'root', 'home')]);
    else copyFileSync(at('stages', '0', 'disk.1'), join(folder, 'disk.1'));
    for (const disk of ['disk.0', 'disk.1']) {
      const before = stage === 0 ? undefined : at('stages', String(stage - 1), disk);
      layDisk(join(folder, disk), before, join(folder, 'backup', `${disk}.${stage}`));
    }
    writeFileSync(join(folder, 'backup', 'vm.xml'), Buffer.from('<VM><ID>7</ID></VM>').toString('base64'));
    utimesSync(join(folder, 'backup', 'vm.xml'), 1_795_000_000 + stage * 60, 1_795_000_000 + stage * 60);
    return folder;
  });
  const stock = new StockRsyncDriver(w.datastore);
  const sources = stages.map((folder) => stock.backUp(VM, join(folder, 'backup')));

  const resticStore = at('server', 'datastores', '101');
  mkdirSync(resticStore, { recursive: true });
  const restic = new StockDriver(join(resticStore, String(VM)), 'password', at('stock'));
  restic.init();
  quickenKey(join(resticStore, String(VM)), 'password');
  for (const folder of stages.slice(0, 2)) restic.backUpCopy(VM, join(folder, 'backup'), join(w.staging(VM), 'backup'));

  const file = (name: 'rsync' | 'restic', place: string): string[] => {
    const path = at(`${name}.ds`);
    const own = { user: userInfo().username, temporary: w.temporary, password: 'password', dataset: '' };
    const attributes = { NAME: name, TYPE: 'BACKUP_DS', DS_MAD: name, TM_MAD: '-', ...TRAITS[name].attributes(own) };
    writeFileSync(path, formatTemplate(Object.entries(attributes)));
    return [path, '--base-path', place, '--vm', String(VM)];
  };
  const rsyncFile = file('rsync', w.datastore);
  const resticFile = file('restic', resticStore);
  const env = { ...GONE, TMPDIR: at('scratch') };
  mkdirSync(env.TMPDIR);
  const run = (...words: string[]): Promise<Ended> => w.run('backupctl', words, '', env);
  const ok = async (...words: string[]): Promise<Ended> => {
    const ended = await run(...words);
    if (ended.code !== 0) throw new Error(`${words.join(' ')}: exit code ${ended.code}: ${ended.stderr}`);
    return ended;
  };
  return {
    ...{ w, at, run, ok, sources, rsyncFile, resticFile },
    start: (...words: string[]) => w.start('backupctl', words, '', env),
    /** Installs guestfish: on the front-end, where KVM does not work, or on the hosts. */
    install(where: 'here' | 'there'): void {
      const path = join(where === 'here' ? w.ssh.bin : join(w.ssh.folder, 'host-bin'), 'guestfish');
      const own = `${where === 'here' ? 'BROKEN_KVM=1 ' : ''}${process.execPath} ${STAND_IN}`;
      const program = process.env.GUESTFISH_UNDER_TEST ?? own;
      writeFileSync(path, `#!/bin/sh\nunset NODE_OPTIONS\nexec env ${program} "$@"\n`, { mode: 0o755 });
    },
    /** What nobody may leave behind; the appliance of the real guestfish is its own. */
    leftovers: (): string[] => [
      ...readdirSync(w.temporary),
      ...readdirSync(env.TMPDIR).filter((name) => !name.startsWith('.guestfs-')),
      ...execFileSync('sh', ['-c', 'ls /tmp/.guestfish-$(id -u) 2>/dev/null || true'], { encoding: 'utf8' })
        .split('\n')
        .filter((name) => name !== '' && isOurs(name, w.folder)),
    ],
    stored: (): string =>
      execFileSync(
        'sh',
        ['-c', `cd ${at('server')} && find . -type f ! -path '*/locks/*' -printf '%p %T@ %s\\n' | sort`],
        { encoding: 'utf8' },
      ),
  };
}

/** Whether a socket belongs to a guestfish of this world. */
function isOurs(socket: string, folder: string): boolean {
  try {
    return readFileSync(`/proc/${socket.replace('socket-', '')}/cmdline`, 'utf8').includes(folder);
  } catch {
    return false;
  }
}
