import { type ChildProcess, spawn } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { incrementsXml, type MessageName, realMessage, withAdded, withContent, withText } from './messages';
import { ONE_AUTH, SERVERADMIN_PASSWORD, startOned } from './oned';
import { startSshWorld } from './sshd';
import type { WorldOptions } from './sshd-process';

/** How an action ended. */
export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** An action that runs. */
export interface Running {
  readonly child: ChildProcess;
  readonly ended: Promise<Ended>;
}

/** What a test world has beside sshd. */
export interface FrontEndOptions extends Partial<WorldOptions> {
  /** The folder of a restic that programs find first, on the front-end and on all hosts. */
  readonly restic?: string;
  /** Attributes of the datastore beside those that it needs. */
  readonly attributes?: Readonly<Record<string, string>>;
  readonly password?: string;
}

/** A front-end as oned runs it, with hosts and a backup server behind sshd; everything in one folder. */
export type FrontEndWorld = Awaited<ReturnType<typeof startFrontEnd>>;

const REMOTES = join(__dirname, '..', '..', 'remotes');
/** A password that no naive program passes on unharmed. */
const PASSWORD = `it's "a" $secret \`pass\` & <word> \\ % #!`;

/** Starts a front-end with the built scripts, copied alone into a VAR of their own. */
export async function startFrontEnd(options: FrontEndOptions = {}) {
  const folder = mkdtempSync(join(tmpdir(), 'one-backup-test-'));
  const ssh = await startSshWorld({ names: ['host1', 'server'], ...options });
  const varDir = join(folder, 'one', 'var');
  const built = join(varDir, 'remotes', 'datastore');
  mkdirSync(built, { recursive: true });
  cpSync(join(REMOTES, 'datastore'), built, { recursive: true, filter: (path) => !path.endsWith('.ts') });
  const oned = await startOned();
  mkdirSync(join(varDir, '.one'));
  writeFileSync(join(varDir, '.one', 'onegate_auth'), `serveradmin:${SERVERADMIN_PASSWORD}\n`);
  writeFileSync(join(folder, 'one_auth'), `${ONE_AUTH}\n`, { mode: 0o600 });
  const programs = join(folder, 'programs');
  mkdirSync(programs);
  if (options.restic !== undefined) {
    for (const bin of [ssh.bin, join(ssh.folder, 'host-bin')])
      symlinkSync(join(options.restic, 'restic'), join(bin, 'restic'));
  }
  const cache = join(folder, 'cache');
  const env: NodeJS.ProcessEnv = {
    ...ssh.env,
    ONE_LOCATION: join(folder, 'one'),
    ONE_XMLRPC: oned.endpoint,
    ONE_AUTH: join(folder, 'one_auth'),
    XDG_CACHE_HOME: cache,
    LANG: 'C',
  };
  const temporary = join(folder, 'tmp');
  mkdirSync(temporary);
  const datastore = join(folder, 'server', 'datastores', '100');
  const staging = (vmId: number, systemDs = 102): string =>
    join(folder, 'host1', 'datastores', String(systemDs), String(vmId));
  const password = options.password ?? PASSWORD;

  const forDatastore = (message: string): string => {
    let edited = withText(message, 'DATASTORE', 'BASE_PATH', datastore.replace('/datastores/', '//datastores/'));
    edited = withText(edited, 'DATASTORE', 'RESTIC_PASSWORD', password);
    edited = withText(edited, 'DATASTORE', 'RESTIC_SFTP_SERVER', 'server');
    edited = edited.replace(/<RESTIC_SFTP_USER>.*?<\/RESTIC_SFTP_USER>/, '');
    const attributes = { RESTIC_SFTP_USER: userInfo().username, RESTIC_TMP_DIR: temporary, ...options.attributes };
    for (const [name, text] of Object.entries(attributes)) {
      const at = edited.indexOf('</TEMPLATE>', edited.indexOf('<RESTIC_PASSWORD>'));
      edited =
        edited.slice(0, at) +
        withAdded('</TEMPLATE>', 'TEMPLATE', name, text) +
        edited.slice(at + '</TEMPLATE>'.length);
    }
    return edited;
  };

  return {
    ...{ folder, ssh, oned, varDir, built, env, temporary, datastore, password, staging, forDatastore },
    /** The repository of a VM. */
    repository: (vmId: number): string => join(datastore, String(vmId)),

    /** Starts a script as oned does: by its path, in a process group of its own, with only the environment of oned. */
    start(script: string, args: readonly string[], stdin: string | undefined, more: NodeJS.ProcessEnv = {}): Running {
      // tap puts its loader into NODE_OPTIONS of all children: it would slow each script down, and knows no .rb.
      const child = spawn('env', ['-u', 'NODE_OPTIONS', join(built, script), ...args], {
        env: { ...env, ...more },
        cwd: varDir,
        detached: true,
        stdio: 'pipe',
      });
      const ended = new Promise<Ended>((resolve) => {
        const out: Buffer[] = [];
        const err: Buffer[] = [];
        child.stdout.on('data', (chunk) => out.push(chunk));
        child.stderr.on('data', (chunk) => err.push(chunk));
        child.on('close', (code, signal) =>
          resolve({
            code,
            signal,
            stdout: Buffer.concat(out).toString('latin1'),
            stderr: Buffer.concat(err).toString('latin1'),
          }),
        );
      });
      child.stdin.on('error', () => {});
      if (stdin !== undefined) child.stdin.end(stdin);
      return { child, ended };
    },

    /** Runs a script to its end. */
    run(script: string, args: readonly string[], stdin: string, more: NodeJS.ProcessEnv = {}): Promise<Ended> {
      return this.start(script, args, stdin, more).ended;
    },

    /** A message of oned about this datastore, in base64 where oned sends it so. */
    message(name: MessageName, edit: (message: string) => string = (message) => message): string {
      const text = edit(name === 'backup_cancel' ? realMessage(name) : forDatastore(realMessage(name)));
      const packed = !name.startsWith('backup') && name !== 'ls-i2';
      return packed ? Buffer.from(text).toString('base64') : text;
    },

    /** The arguments and the message of a backup: increment `increment` of the VM. */
    backupCall(vmId: number, diskIds: readonly number[], increment: number, jobId = '-'): [string[], string] {
      const dir = `host1:${staging(vmId).replace('/datastores/', '//datastores/')}`;
      const args = [dir, diskIds.join(':'), deployId(vmId), jobId, String(vmId), '102'];
      const name = increment === 0 ? 'backup-live-full' : 'backup-poweroff-increment';
      const stdin = this.message(name, (text) => {
        const own = withText(withText(text, 'VM', 'ID', String(vmId)), 'VM', 'DEPLOY_ID', deployId(vmId));
        return increment === 0 ? own : withText(own, 'BACKUP_CONFIG', 'LAST_INCREMENT_ID', String(increment - 1));
      });
      return [args, stdin];
    },

    /** A message about the backup image of a VM with this chain. */
    imageMessage(
      name: MessageName,
      vmId: number,
      chain: readonly { id: number; source: string }[],
      edit = (text: string) => text,
    ): string {
      return this.message(name, (text) => {
        const listed = withContent(text, 'BACKUP_INCREMENTS', incrementsXml(chain));
        return edit(withContent(listed, 'VMS', `<ID>${vmId}</ID>`));
      });
    },

    async stop(): Promise<void> {
      await oned.close();
      ssh.stop();
      rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
      if (existsSync(folder)) throw new Error(`${folder} could not be removed`);
    },
  };
}

/** What the hypervisor calls a VM. */
export function deployId(vmId: number): string {
  return `9d3c1c8e-7f0a-4f6e-9a51-1f6f1f1a${String(vmId).padStart(4, '0')}`;
}
