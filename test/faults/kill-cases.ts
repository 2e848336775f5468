import { randomFrom } from '../helpers/disk';
import type { Ended, Running } from '../helpers/front-end';
import { until } from '../helpers/waits';
import { KILL_SESSION_OF_RSYNC } from '../helpers/zfs-server';
import type { FaultWorld } from './fault-world';
import { ofActions, type Process, processes, send, servedBy } from './processes-of';

/** The programs that a fault can take: restic; rsync on the host and on the server; what works on the server. */
const PROGRAMS = {
  restic: ({ name }: Process) => name === 'restic',
  sender: ({ name, argv }: Process) => name === 'rsync' && !argv.includes('--server'),
  receiver: ({ name, argv }: Process) => name === 'rsync' && argv.includes('--server'),
  'qemu-img': ({ name }: Process) => name === 'qemu-img',
  /** What reads, makes visible and removes, as single programs. */
  tool: ({ name }: Process) => ['cat', 'cp', 'mv', 'rm', 'sync'].includes(name),
} as const;

/** The same on a server that is a machine of its own, as shell commands; here `zfs` makes visible and removes. */
const ON_MACHINE: Readonly<Partial<Record<Victim, string>>> = {
  receiver: 'pkill -KILL -u oneadmin -x rsync',
  'qemu-img': 'pkill -KILL -u oneadmin -x qemu-img',
  tool: `for n in 1 2 3 4 5 6 7 8 9 10; do
    pkill -KILL -f '^zfs (snapshot|hold|release|destroy|rollback) ' && exit; sleep 0.02; done; exit 1`,
  session: KILL_SESSION_OF_RSYNC,
};
/** What serves the connections to that machine. */
const CONNECTIONS = 'pkill -KILL -u oneadmin sshd';

/** What a fault takes: the action, a program, the connection to its host, or the session that serves the program's own ssh. */
export type Victim = 'action' | 'connection' | 'session' | keyof typeof PROGRAMS;

/** When: so many milliseconds after the n-th start of a program (0: after the start of the action). */
interface Point {
  readonly stage: number;
  readonly afterMs: number;
}

/** Where an undisturbed run spends its time: when it started each program, and its end, in milliseconds. */
export interface Course {
  readonly stages: readonly number[];
  readonly endMs: number;
}

/** Runs an action undisturbed and notes its course. */
export async function observe(faults: FaultWorld, start: () => Running): Promise<Course> {
  const before = faults.programCalls().length;
  const began = Date.now();
  const { child, ended } = start();
  const stages = [0];
  let over = false;
  const watch = until(
    () => {
      while (stages.length - 1 < faults.programCalls().length - before) stages.push(Date.now() - began);
      return over;
    },
    120,
    2,
  );
  const { code, stderr } = await ended;
  over = true;
  await watch;
  if (code !== 0) throw new Error(`${child.spawnfile}: ${stderr}`);
  return { stages, endMs: Date.now() - began };
}

/** Picks points of a course by a seed: spread over all of it, one in each equal part, wherever in that. */
export function pickPoints({ stages, endMs }: Course, count: number, seed: number): Point[] {
  const random = randomFrom(seed);
  return Array.from({ length: count }, (_, index) => {
    const at = ((index + random()) / count) * endMs;
    const stage = stages.findLastIndex((began) => began <= at);
    return { stage, afterMs: Math.round(at - (stages[stage] ?? 0)) };
  });
}

/** Starts an action, kills the victim at the point or as soon after it as there is one, and waits for what the action says. */
export async function strike(
  faults: FaultWorld,
  victim: Victim,
  { stage, afterMs }: Point,
  start: () => Running,
  host: string,
): Promise<{ readonly hit: boolean; readonly ended: Ended }> {
  const before = faults.programCalls().length;
  const { child, ended } = start();
  let over = false;
  const done = ended.then((result) => {
    over = true;
    return result;
  });
  await until(() => over || faults.programCalls().length - before >= stage, 120, 2);
  await new Promise((resolve) => setTimeout(resolve, afterMs));
  let hit = false;
  await until(
    () => {
      hit = !over && kill(faults, victim, child.pid ?? 0, host);
      return over || hit;
    },
    120,
    2,
  );
  return { hit, ended: await done };
}

/** Kills the victim where it runs; tells whether there was one. */
function kill(faults: FaultWorld, victim: Victim, actionPid: number, host: string): boolean {
  const { machine } = faults.world;
  const command = victim === 'connection' && host === 'server' ? CONNECTIONS : ON_MACHINE[victim];
  if (machine !== undefined && command !== undefined)
    return machine.shSync(`( ${command}\n) >/dev/null 2>&1 && echo hit || true`) === 'hit';
  return victims(faults, victim, actionPid, host).filter(({ pid }) => send('SIGKILL', pid)).length > 0;
}

function victims({ world }: FaultWorld, victim: Victim, actionPid: number, host: string): Process[] {
  if (victim === 'action') return processes().filter(({ pid }) => pid === actionPid);
  const { folder, port } = { folder: world.ssh.folder, port: world.ssh.port };
  const ours = ofActions(folder);
  if (victim === 'connection')
    return servedBy(
      ours.filter(({ pid }) => pid === actionPid),
      folder,
      port(host),
    );
  if (victim !== 'session') return ours.filter(PROGRAMS[victim]);
  const clients = ours.filter(
    ({ name, argv }) => name === 'ssh' && (world.driver === 'rsync' || argv.at(-1) === 'sftp'),
  );
  return servedBy(clients, folder, port('server'));
}
