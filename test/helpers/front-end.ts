import { type ChildProcess, spawn } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { type DriverName, TRAITS } from './drivers';
import { incrementsXml, type MessageName, realMessage, withAttribute, withContent, withText } from './messages';
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
  /** The datastore's driver: restic unless told. */
  readonly driver?: DriverName;
  /** A folder of programs, such as another restic, that are found first on the front-end and on all hosts. */
  readonly programs?: string;
  /** Attributes of the datastore beside those that it needs. */
  readonly attributes?: Readonly<Record<string, string>>;
  readonly password?: string;
}

/** A front-end as oned runs it, with hosts and a backup server behind sshd; everything in one folder. */
export type FrontEndWorld = Awaited<ReturnType<typeof startFrontEnd>>;

/** DS_MAD, on its own and in the template. */
const DRIVERS_NAME = /(?<=<DS_MAD><!\[CDATA\[)restic(?=\]\])/g;
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
  const own = options.programs;
  for (const name of own === undefined ? [] : readdirSync(own)) {
    for (const bin of [ssh.bin, join(ssh.folder, 'host-bin')]) symlinkSync(join(own as string, name), join(bin, name));
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

  const driver = options.driver ?? 'restic';
  const traits = TRAITS[driver];
  const attributes = {
    ...traits.attributes({ user: userInfo().username, temporary, password }),
    ...options.attributes,
  };

  /** The messages were taken of a datastore that has the attributes of both drivers. */
  const forDatastore = (message: string): string => {
    const bare = message.replace(/<(RESTIC|RSYNC)_[A-Z_]+>.*?<\/\1_[A-Z_]+>/g, '').replace(DRIVERS_NAME, driver);
    const edited = withText(bare, 'DATASTORE', 'BASE_PATH', datastore.replace('/datastores/', '//datastores/'));
    return Object.entries(attributes).reduce((text, [name, value]) => withAttribute(text, name, value), edited);
  };

  return {
    ...{ folder, ssh, oned, varDir, built, env, temporary, datastore, password, staging, forDatastore },
    ...{ driver, traits, downloader: `${driver}_downloader.rb` },
    /** The script of an action. */
    script: (action: string): string => `${driver}/${action}`,
    /** The folder of a VM on the backup server: its repository, or what its backups are in. */
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

    /** Makes the stub of oned answer what this datastore is. */
    serveDatastore(edit: (message: string) => string = (message) => message): void {
      const [xml] = /<DATASTORE>[\s\S]*?<\/DATASTORE>/.exec(this.message('ls-i2', edit)) as RegExpExecArray;
      oned.behaviour = { datastores: { 100: xml } };
    },

    /** The backup URL of a file of VM `vmId` at the end of a chain. */
    url(vmId: number, chain: readonly { id: number; source: string }[], file: string): string {
      const source = chain.at(-1)?.source ?? '';
      const path = traits.urlPath({ datastore, staging: join(staging(vmId), 'backup'), vmId, source, file });
      return `${driver}://100//${chain.map((one) => `${one.id}:${one.source}`).join(',')}${path}`;
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
