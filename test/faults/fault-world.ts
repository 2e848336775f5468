import { execFileSync, spawn, spawnSync } from 'node:child_process';
import {
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { difference, LiveDisk } from '../helpers/disk';
import { type Ended, type FrontEndOptions, startFrontEnd } from '../helpers/front-end';
import { quickenKey } from '../helpers/quick-key';
import { leftovers, until } from './processes-of';

/** The restic under test: RESTIC_UNDER_TEST names another one than that of the machine. */
export const RESTIC =
  process.env.RESTIC_UNDER_TEST ?? execFileSync('sh', ['-c', 'command -v restic'], { encoding: 'utf8' }).trim();
const DISK_BYTES = 16 << 20;

/** One backup as oned knows it. */
export interface Known {
  readonly id: number;
  readonly source: string;
}

/** A front-end, a host and a backup server for faults, each call of restic written down. */
export type FaultWorld = Awaited<ReturnType<typeof startFaultWorld>>;

/** Starts a world whose host and server have an sshd each, and whose restic notes its pid and arguments before it runs. */
export async function startFaultWorld(options: FrontEndOptions = {}) {
  const tools = mkdtempSync(join(tmpdir(), 'one-backup-faults-'));
  const calls = join(tools, 'calls');
  writeFileSync(calls, '');
  writeFileSync(join(tools, 'restic'), `#!/bin/sh\necho "$$ $*" >>${calls}\nexec ${RESTIC} "$@"\n`, { mode: 0o755 });
  const world = await startFrontEnd({ sshds: 2, ...options, restic: tools });
  const prepared = join(world.folder, 'prepared');
  const resticCalls = (): string[] => readFileSync(calls, 'utf8').split('\n').slice(0, -1);
  const stagingOf = (vmId: number, systemDs = 102): string => join(world.staging(vmId, systemDs), 'backup');
  const restic = (repository: string, ...args: string[]) =>
    spawnSync(RESTIC, ['-r', repository, '--no-cache', ...args], {
      env: { ...world.env, RESTIC_PASSWORD: world.password },
      encoding: 'utf8',
    });

  return {
    ...{ world, tools, resticCalls, restic, stagingOf },

    /** Makes an empty repository that opens fast. */
    init(repository: string): void {
      const { status, stderr } = restic(repository, 'init');
      if (status !== 0) throw new Error(stderr);
      quickenKey(repository, world.password);
    },

    /** Lays a backup of the disk into the staging folder of the VM, as the transfer driver does. */
    stage(vmId: number, disk: LiveDisk, increment: number, point: string, systemDs = 102): void {
      const folder = stagingOf(vmId, systemDs);
      rmSync(folder, { recursive: true, force: true });
      mkdirSync(folder, { recursive: true });
      const file = join(folder, `disk.0.${increment}`);
      if (increment === 0) disk.full(file, point);
      else disk.increment(file, point);
      const [, stdin] = world.backupCall(vmId, [0], increment);
      const vm = /<VM>[\s\S]*<\/VM>/.exec(stdin)?.[0] ?? '';
      writeFileSync(
        join(folder, 'vm.xml'),
        Buffer.from(vm)
          .toString('base64')
          .replace(/(.{60})/g, '$1\n'),
      );
    },

    /** Backs the VM up `count` times, beginning with a full backup; a point is named after its increment. */
    async makeChain(vmId: number, disk: LiveDisk, count: number, prefix = '', jobId = '-'): Promise<Known[]> {
      const chain: Known[] = [];
      for (let id = 0; id < count; id++) {
        disk.change(id === 0 ? 120 : 25);
        this.stage(vmId, disk, id, `${prefix}${id}`);
        const ended = await world.run('restic/backup', ...world.backupCall(vmId, [0], id, jobId));
        if (ended.code !== 0) throw new Error(ended.stderr);
        chain.push({ id, source: ended.stdout.split(' ')[0] ?? '' });
      }
      return chain;
    },

    newDisk: (name: string, seed = 1): LiveDisk => new LiveDisk(world.folder, name, DISK_BYTES, seed),

    /** Keeps the repositories as they are now. */
    keep(): void {
      execFileSync('cp', ['-a', world.datastore, prepared]);
    },

    /** Brings the kept repositories back. */
    reset(): void {
      rmSync(world.datastore, { recursive: true, force: true });
      execFileSync('cp', ['-a', prepared, world.datastore]);
    },

    /** Downloads the disk at a point of a chain by its URL, and says how it differs from the truth. */
    async differs(
      vmId: number,
      chain: readonly Known[],
      id: number,
      truth: string,
      jobId?: string,
    ): Promise<string | undefined> {
      const list = world.imageMessage('ls-i2', vmId, chain, (text) => inJob(text, jobId));
      const listed = await world.run('restic/ls', ['-i', String(id)], list);
      if (listed.code !== 0) return `ls: ${listed.stderr}`;
      const url = (JSON.parse(listed.stdout) as Record<string, string>)['0'] ?? '';
      const datastore = /<DATASTORE>[\s\S]*?<\/DATASTORE>/.exec(world.message('ls-i2'))?.[0] ?? '';
      world.oned.behaviour = { datastores: { 100: datastore } };
      const file = join(world.folder, `download-${vmId}-${id}`);
      const { code, stderr } = await download(join(world.built, 'restic_downloader.rb'), url, file, world.env);
      const answer = code === 0 ? difference(file, truth) : `download: ${stderr}`;
      rmSync(file, { force: true });
      return answer;
    },

    /** All that must not be there when no action runs: locks, half uploads, temporary folders. */
    debris(repository: string): string[] {
      const list = (folder: string): string[] =>
        existsSync(folder) ? readdirSync(folder, { recursive: true, encoding: 'utf8' }) : [];
      const locks = list(join(repository, 'locks')).map((name) => `locks/${name}`);
      const uploads = list(repository).filter((name) => /-(restic-temp|tmp)-/.test(name) && !name.startsWith('locks/'));
      const beside = list(world.datastore).filter((name) => /^[^/]*\.new-/.test(name) && !name.includes('/'));
      return [...locks, ...uploads, ...beside, ...readdirSync(world.temporary).map((name) => `tmp/${name}`)];
    },

    /** What `restic check` complains about: every byte is read. */
    damage(repository: string): string | undefined {
      const { status, stdout, stderr } = restic(repository, 'check', '--read-data');
      return status === 0 && /no errors were found/.test(stdout) ? undefined : `${stdout}${stderr}`;
    },

    /** Waits until no process of any action is left on any host; returns what is left after a while. */
    async quiet(seconds = 30): Promise<string[]> {
      // One look can miss a process that is forked while its parent, which was listed, ends: three in a row do not.
      let quietLooks = 0;
      await until(() => {
        quietLooks = leftovers(world.ssh.folder).length === 0 ? quietLooks + 1 : 0;
        return quietLooks >= 3;
      }, seconds);
      return quietLooks >= 3 ? [] : leftovers(world.ssh.folder);
    },

    async stop(): Promise<void> {
      await world.stop();
      rmSync(tools, { recursive: true, force: true });
    },
  };
}

/** Sets an attribute of the datastore in a message that is not packed. */
export function withAttribute(message: string, name: string, value: string): string {
  const at = message.indexOf('</TEMPLATE>', message.indexOf('<RESTIC_PASSWORD>'));
  return `${message.slice(0, at)}<${name}>${value}</${name}>${message.slice(at)}`;
}

/** The image of a message of ls, whose template is empty, belongs to a backup job. */
function inJob(message: string, jobId: string | undefined): string {
  if (jobId === undefined) return message;
  const at = message.lastIndexOf('<TEMPLATE/>');
  if (at === -1) throw new Error('the image has a template already');
  const template = `<TEMPLATE><BACKUP_JOB_ID>${jobId}</BACKUP_JOB_ID></TEMPLATE>`;
  return message.slice(0, at) + template + message.slice(at + '<TEMPLATE/>'.length);
}

/** The chain in the answer of increment_flatten. */
export function chainIn({ stdout }: Ended): Known[] {
  const [, chain = ''] = stdout.trim().split(' ');
  return chain.split(',').map((one) => ({ id: Number(one.split(':')[0]), source: one.split(':')[1] ?? '' }));
}

function download(
  script: string,
  url: string,
  file: string,
  env: NodeJS.ProcessEnv,
): Promise<{ code: number | null; stderr: string }> {
  const output = openSync(file, 'w');
  const child = spawn('env', ['-u', 'NODE_OPTIONS', script, '--stream', url], {
    env,
    detached: true,
    stdio: ['ignore', output, 'pipe'],
  });
  closeSync(output);
  let stderr = '';
  child.stderr?.on('data', (chunk) => {
    stderr += chunk;
  });
  return new Promise((resolve) => child.on('close', (code) => resolve({ code, stderr })));
}
