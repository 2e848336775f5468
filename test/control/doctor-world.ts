import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { formatTemplate } from '../../lib/opennebula/template-text';
import type { DriverName } from '../helpers/drivers';
import { type Ended, startFrontEnd } from '../helpers/front-end';
import { parseTemplateText } from '../helpers/oned-template';
import { type ReportRow, rowsOf } from './doctor-report';

/** A front-end, a host and a backup server, in which links can be broken one by one. */
export type DoctorWorld = Awaited<ReturnType<typeof openDoctor>>;

/** The id of the datastore that the stub of oned creates first. */
export const CREATED = 104;
/** As the example has it. */
const PASSWORD = 'opensesame';
const EXAMPLES = join(__dirname, '..', '..', 'remotes', 'datastore');

/**
 * What sshd runs instead of a login's own command. In the folder of its port, `bin` holds programs that come before all
 * others, and `hide` names those of /usr/bin that this login does not have.
 */
const LOGIN = `#!/bin/sh
own="FOLDER/\${SSH_CONNECTION##* }"
case $SSH_ORIGINAL_COMMAND in internal-sftp) exec /usr/lib/openssh/sftp-server ;; esac
PATH=$own/bin:$PATH; export PATH
hide=$(cat "$own/hide" 2>/dev/null)
[ -n "$hide" ] || exec sh -c "$SSH_ORIGINAL_COMMAND"
exec unshare --mount sh -c 'for name in $1; do mount --bind /dev/null "/usr/bin/$name" || exit 99; done; exec sh -c "$2"' sh "$hide" "$SSH_ORIGINAL_COMMAND"
`;

/** Programs that the mends call, and that are no part of such a world: each does what the real one would have done to it. */
const STAND_INS = {
  host: {
    'apt-get': `for package; do sed -i "s/\\b$package\\b//" "FOLDER/\${SSH_CONNECTION##* }/hide"; done`,
    timedatectl: `[ "$*" = "set-ntp true" ] && rm "FOLDER/\${SSH_CONNECTION##* }/bin/date"`,
  },
  frontEnd: {
    'ssh-copy-id': '[ "$1" = -i ] && cat "$2.pub" >> "AUTHORIZED"',
    systemctl: 'echo "$@" >> "FOLDER/systemctl"',
  },
} as const;

/** Starts the world, with the example template of the driver in it. */
export async function openDoctor(driver: DriverName) {
  const logins = mkdtempSync(join(tmpdir(), 'one-backup-logins-'));
  const login = join(logins, 'login');
  writeFileSync(login, LOGIN.replaceAll('FOLDER', logins), { mode: 0o755 });
  const w = await startFrontEnd({ driver, sshds: 2, sshdConfig: `ForceCommand ${login}`, password: PASSWORD });
  const authorized = join(w.ssh.folder, 'authorized_keys');
  const standIn = (folder: string, programs: Readonly<Record<string, string>>): void => {
    for (const [name, script] of Object.entries(programs)) {
      const text = script.replaceAll('FOLDER', logins).replaceAll('AUTHORIZED', authorized);
      writeFileSync(join(folder, name), `#!/bin/sh\n${text}\n`, { mode: 0o755 });
    }
  };
  standIn(join(w.ssh.folder, 'host-bin'), STAND_INS.host);
  standIn(w.ssh.bin, STAND_INS.frontEnd);
  symlinkSync(join(w.built, 'backupctl'), join(w.ssh.bin, 'backupctl'));

  /** What only this world's own file says: its names in place of the example's, and a user of this machine. */
  const own: Readonly<Record<DriverName, Readonly<Record<string, string>>>> = {
    restic: { RESTIC_SFTP_USER: userInfo().username, RESTIC_TMP_DIR: w.temporary },
    rsync: { RSYNC_USER: userInfo().username, RSYNC_TMP_DIR: w.temporary },
    zfs: {},
  };
  const dataset = w.datastore.slice(1).replace(/\/[0-9]+$/, '');
  const example = readFileSync(join(EXAMPLES, `${driver}.ds`), 'utf8')
    .replace('backup.example.net', 'server')
    .replace('tank/backups', dataset);
  const file = join(w.folder, 'backups.ds');
  const write = (more: Readonly<Record<string, string>> = {}): void => {
    const all = { ...own[driver], ...more };
    const kept = example.split('\n').filter((line) => !Object.keys(all).includes(line.split(/[ =]/)[0] ?? ''));
    writeFileSync(file, `${kept.join('\n')}${formatTemplate(Object.entries(all))}`, { mode: 0o600 });
  };
  write();
  const basePath = join(w.varDir, 'datastores', String(CREATED));
  const staging = join(w.folder, 'host1', 'datastores', '102');
  mkdirSync(staging, { recursive: true });

  const stateOf = (host: string): string => {
    const folder = join(logins, String(w.ssh.port(host)));
    mkdirSync(join(folder, 'bin'), { recursive: true });
    return folder;
  };
  const { NODE_OPTIONS: _none, ...env } = w.env;

  return {
    ...{ w, file, write, basePath, env, password: PASSWORD },
    /** Makes oned answer what it has: a host, a system datastore and the datastore of the file. */
    serve(): void {
      const template = parseTemplateText(readFileSync(file, 'utf8'));
      const xml = template.map(([name, value]) => `<${name}><![CDATA[${value}]]></${name}>`).join('');
      const of = (id: number, name: string, type: number, path: string, rest: string): string =>
        `<DATASTORE><ID>${id}</ID><NAME>${name}</NAME><DS_MAD>${driver}</DS_MAD><BASE_PATH>${path}</BASE_PATH><TYPE>${type}</TYPE>${rest}</DATASTORE>`;
      w.oned.behaviour = {
        hosts: ['host1'],
        datastores: {
          102: of(102, 'system', 1, staging, '<TEMPLATE></TEMPLATE>'),
          [CREATED]: of(CREATED, 'created', 3, basePath, `<TEMPLATE>${xml}</TEMPLATE>`),
        },
      };
    },
    run: (...words: string[]): Promise<Ended> => w.run('backupctl', words, '', env),
    /** Examines the datastore of the file, as one that is registered, and reads the report. */
    async doctor(...words: string[]): Promise<{ code: number | null; rows: ReportRow[]; said: string }> {
      const { code, stdout, stderr } = await w.run(
        'backupctl',
        ['doctor', file, '--id', String(CREATED), ...words],
        '',
        env,
      );
      return { code, rows: rowsOf(stdout), said: `${stdout}${stderr}` };
    },
    /** Hides programs from a host, or gives it one of its own. */
    hide: (host: string, ...names: string[]): void => writeFileSync(join(stateOf(host), 'hide'), names.join(' ')),
    give: (host: string, name: string, script: string): void =>
      writeFileSync(join(stateOf(host), 'bin', name), `#!/bin/sh\n${script}\n`, { mode: 0o755 }),
    /** Runs a command where its prompt says, as it stands. */
    async paste({ on, asRoot, text }: ReportRow['commands'][number]): Promise<void> {
      if (on === 'server' && w.machine !== undefined) {
        await w.machine.sh(text, { user: asRoot ? 'root' : 'oneadmin' });
        return;
      }
      const argv = on === '' ? ['sh', '-c', text] : ['ssh', on, text];
      const { status, stderr } = spawnSync(argv[0] as string, argv.slice(1), { env, encoding: 'utf8' });
      if (status !== 0) throw new Error(`${on}${asRoot ? '#' : '$'} ${text}: exit code ${status}: ${stderr}`);
    },
    async stop(): Promise<void> {
      await w.stop();
      rmSync(logins, { recursive: true, force: true });
    },
  };
}
