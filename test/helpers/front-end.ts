import { type ChildProcess, spawn } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { type DriverName, type DriverTraits, FOLDER_STORES, TRAITS } from './drivers';
import type { Store } from './folder-stores';
import { incrementsXml, type MessageName, realMessage, withAttribute, withContent, withText } from './messages';
import { ONE_AUTH, SERVERADMIN_PASSWORD, startOned } from './oned';
import { startSshWorld } from './sshd';
import type { WorldOptions } from './sshd-process';
import type { ZfsMachine } from './zfs-machine';
import { newDataset, zfsServer, zfsStore } from './zfs-server';

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
  /** For a driver whose server is a machine of its own: `server` is this one all the same, and has nothing that it needs. */
  readonly withoutMachine?: boolean;
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
/** No action of a test takes so long. */
const HANGS_AFTER_MS = 900_000;
const REMOTES = join(__dirname, '..', '..', 'remotes');
/** A password that no naive program passes on unharmed. */
const PASSWORD = `it's "a" $secret \`pass\` & <word> \\ % #!`;

/** Starts a front-end with the built scripts, copied alone into a VAR of their own. */
export async function startFrontEnd(options: FrontEndOptions = {}) {
  const folder = mkdtempSync(join(tmpdir(), 'one-backup-test-'));
  const driver = options.driver ?? 'restic';
  const machine = driver === 'zfs' && options.withoutMachine !== true ? await zfsServer() : undefined;
  const ssh = await startSshWorld(withServer({ names: ['host1', 'server'], ...options }, machine));
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
  const dataset = machine && (await newDataset(machine, readFileSync(`${ssh.key}.pub`, 'utf8')));
  const datastore = dataset === undefined ? join(folder, 'server', 'datastores', '100') : `/${dataset}/100`;
  const staging = (vmId: number, systemDs = 102): string =>
    join(folder, 'host1', 'datastores', String(systemDs), String(vmId));
  const password = options.password ?? PASSWORD;

  const store = machine && dataset ? zfsStore(machine, dataset) : (FOLDER_STORES[driver] as Store);
  const traits: DriverTraits = { ...TRAITS[driver], ...store };
  const downloader = `${traits.scheme}_downloader.rb`;
  const attributes = {
    ...traits.attributes({
      user: machine ? 'oneadmin' : userInfo().username,
      temporary,
      password,
      dataset: dataset ?? 'tank/none',
    }),
    ...options.attributes,
  };

  /** The messages were taken of a datastore that has the attributes of both drivers. */
  const forDatastore = (message: string): string => {
    const bare = message.replace(/<(RESTIC|RSYNC)_[A-Z_]+>.*?<\/\1_[A-Z_]+>/g, '').replace(DRIVERS_NAME, driver);
    const edited = withText(bare, 'DATASTORE', 'BASE_PATH', datastore.replace('/datastores/', '//datastores/'));
    return Object.entries(attributes).reduce((text, [name, value]) => withAttribute(text, name, value), edited);
  };

  return {
    ...{ folder, ssh, oned, varDir, built, env, temporary, datastore, attributes, password, staging, forDatastore },
    ...{ driver, traits, machine, downloader },
    /** The downloader, where the front-end has none of its own for such URLs. */
    downloaders: existsSync(join(built, downloader)) ? [downloader] : [],
    /** The script of an action. */
    script: (action: string): string => `${driver}/${action}`,
    /** The folder of a VM on the backup server: its repository, or what its backups are in. */
    repository: (vmId: number): string => join(datastore, String(vmId)),

    /** Starts a script as oned does: by its path, in a process group of its own, with only the environment of oned. */
    start(script: string, args: readonly string[], stdin: string | undefined, more: NodeJS.ProcessEnv = {}): Running {
      // Whatever Node is told where the tests run, oned's has not heard of.
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
      // A test that waits for an action that hangs, or was stopped, must fail, and not its whole file after the better part of an hour.
      const limit = setTimeout(() => child.kill('SIGKILL'), HANGS_AFTER_MS).unref();
      child.once('exit', () => clearTimeout(limit));
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

    /** Makes the stub of oned answer what the backup image of a VM is. */
    serveImage(vmId: number, chain: readonly { id: number; source: string }[]): void {
      const [xml = ''] = /^<IMAGE>[\s\S]*<\/IMAGE>/m.exec(this.imageMessage('ls-i2', vmId, chain)) ?? [];
      oned.behaviour = { ...oned.behaviour, images: [xml] };
    },

    /** The backup URL of a file of VM `vmId` at the end of a chain. */
    url(vmId: number, chain: readonly { id: number; source: string }[], file: string): string {
      return traits.url({ datastore, staging: join(staging(vmId), 'backup'), vmId, chain, file });
    },

    /** The command by which the front-end reads what a URL names: our downloader's, or its own for `ssh://`. */
    reading(url: string): [string, ...string[]] {
      const [, login, path] = /^ssh:\/\/([^:]+):(.*)$/.exec(url) ?? [];
      if (login !== undefined) return ['ssh', login, `cat '${path}'`];
      return [join(built, downloader), '--stream', url];
    },

    /** The arguments and the message of a backup: increment `increment` of the VM. */
    backupCall(vmId: number, diskIds: readonly number[], increment: number, jobId = '-'): [string[], string] {
      const dir = `host1:${staging(vmId).replace('/datastores/', '//datastores/')}`;
      const args = [dir, diskIds.join(':'), deployId(vmId), jobId, String(vmId), '102'];
      const name = increment === 0 ? 'backup-live-full' : 'backup-poweroff-increment';
      const stdin = this.message(name, (text) => {
        const own = withText(withText(text, 'VM', 'ID', String(vmId)), 'VM', 'DEPLOY_ID', deployId(vmId));
        if (increment === 0) return withText(own, 'BACKUP_CONFIG', 'MODE', 'INCREMENT'); // the first of a chain
        return withText(own, 'BACKUP_CONFIG', 'LAST_INCREMENT_ID', String(increment - 1));
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

/** In place of a name of this machine, `server` is the other one. */
function withServer(options: WorldOptions, machine: ZfsMachine | undefined): WorldOptions {
  if (machine === undefined) return options;
  const { port, knownHostsLine } = machine;
  const names = options.names.filter((name) => name !== 'server');
  return { ...options, names, elsewhere: { server: { port, user: 'oneadmin', knownHostsLine } } };
}

/** What the hypervisor calls a VM. */
export function deployId(vmId: number): string {
  return `9d3c1c8e-7f0a-4f6e-9a51-1f6f1f1a${String(vmId).padStart(4, '0')}`;
}
