import { execFileSync, spawn } from 'node:child_process';
import { closeSync, mkdirSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { difference, LiveDisk } from '../helpers/disk';
import { TRAITS } from '../helpers/drivers';
import { type Ended, type FrontEndOptions, startFrontEnd } from '../helpers/front-end';
import { withAttribute } from '../helpers/messages';
import { until } from '../helpers/waits';
import { leftovers } from './processes-of';

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

/**
 * Starts a world whose host and server have an sshd each, and in which each call of a driver's programs is written down:
 * its pid, its name and its arguments. While `slow` is there, they take their time.
 */
export async function startFaultWorld(options: FrontEndOptions = {}) {
  const folder = mkdtempSync(join(tmpdir(), 'one-backup-faults-'));
  const [tools, calls, slow] = ['programs', 'calls', 'slow'].map((name) => join(folder, name)) as [
    string,
    string,
    string,
  ];
  mkdirSync(tools);
  writeFileSync(calls, '');
  for (const name of TRAITS[options.driver ?? 'restic'].programs) {
    const real = name === 'restic' ? RESTIC : `/usr/bin/${name}`;
    writeFileSync(join(tools, name), wrapper(name, real, calls, slow), { mode: 0o755 });
  }
  const world = await startFrontEnd({ sshds: 2, ...options, programs: tools });
  world.serveDatastore();
  let bringBack = (): void => {};
  const programCalls = (): string[] => readFileSync(calls, 'utf8').split('\n').slice(0, -1);
  const stagingOf = (vmId: number, systemDs = 102): string => join(world.staging(vmId, systemDs), 'backup');
  const env = { ...process.env, RESTIC_PASSWORD: world.password };

  return {
    ...{ world, tools, programCalls, stagingOf, slow },

    /** Makes what the driver stores a VM's backups in, if it needs anything, so that it opens fast. */
    init: (repository: string): void => world.traits.init(repository, env),

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
        disk.change(id === 0 ? 40 : 10);
        this.stage(vmId, disk, id, `${prefix}${id}`);
        const ended = await world.run(world.script('backup'), ...world.backupCall(vmId, [0], id, jobId));
        if (ended.code !== 0) throw new Error(ended.stderr);
        chain.push({ id, source: ended.stdout.split(' ')[0] ?? '' });
      }
      return chain;
    },

    newDisk: (name: string, seed = 1): LiveDisk => new LiveDisk(world.folder, name, DISK_BYTES, seed),

    /** Keeps the repositories as they are now. */
    keep(): void {
      bringBack = world.traits.keep(world.datastore);
    },

    /** Brings the kept repositories back. */
    reset: (): void => bringBack(),

    /** Downloads the disk at a point of a chain by its URL, and says how it differs from the truth. */
    async differs(
      vmId: number,
      chain: readonly Known[],
      id: number,
      truth: string,
      jobId?: string,
    ): Promise<string | undefined> {
      const list = world.imageMessage('ls-i2', vmId, chain, (text) => inJob(text, jobId));
      const listed = await world.run(world.script('ls'), ['-i', String(id)], list);
      if (listed.code !== 0) return `ls: ${listed.stderr}`;
      const url = (JSON.parse(listed.stdout) as Record<string, string>)['0'] ?? '';
      const file = join(world.folder, `download-${vmId}-${id}`);
      const { code, stderr } = await download(world.reading(url), file, world.env);
      const answer = code === 0 ? difference(file, truth) : `download: ${stderr}`;
      rmSync(file, { force: true });
      return answer;
    },

    /** All that must not be there when no action runs: locks, half uploads, temporary folders. */
    debris: (repository: string): string[] => [
      ...world.traits.leftovers(repository),
      ...readdirSync(world.temporary).map((name) => `tmp/${name}`),
    ],

    /** What is wrong with what is stored: every byte is read. */
    damage: (repository: string): string | undefined => world.traits.damage(repository, env),

    /** Waits until no process of any action is left on any host; returns what is left after a while. */
    async quiet(): Promise<string[]> {
      // One look can miss a process that is forked while its parent, which was listed, ends: three in a row do not.
      let quietLooks = 0;
      let running: string[] = [];
      await until(() => {
        running = [...leftovers(world.ssh.folder), ...world.traits.running()];
        quietLooks = running.length === 0 ? quietLooks + 1 : 0;
        return quietLooks >= 3;
      });
      return running;
    },

    async stop(): Promise<void> {
      await world.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** Sets attributes of the datastore in a message that is not packed. */
export function withAttributes(message: string, attributes: Readonly<Record<string, string>>): string {
  return Object.entries(attributes).reduce((text, [name, value]) => withAttribute(text, name, value), message);
}

/** Writes its call down and becomes the program; slowed, it waits a little first, and qemu-img works at a set rate. */
function wrapper(name: string, real: string, calls: string, slow: string): string {
  const rate = name === 'qemu-img' ? 'case $1 in convert|commit) one=$1; shift; set -- $one -r 6M "$@" ;; esac' : ':';
  return `#!/bin/sh
echo "$$ ${name} $*" >>${calls}
if [ -e ${slow} ]; then sleep 0.1; ${rate}; fi
exec ${real} "$@"
`;
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
  reading: readonly string[],
  file: string,
  env: NodeJS.ProcessEnv,
): Promise<{ code: number | null; stderr: string }> {
  const output = openSync(file, 'w');
  const child = spawn('env', ['-u', 'NODE_OPTIONS', ...reading], {
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
