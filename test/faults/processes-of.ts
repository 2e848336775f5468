import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { MARK } from '../helpers/sshd-process';

/** A process as proc(5) shows it. */
export interface Process {
  readonly pid: number;
  readonly parent: number;
  readonly state: string;
  readonly name: string;
  readonly argv: readonly string[];
  readonly environment: readonly string[];
}

/** All processes that can be read; those that have ended and wait for their parent are none. */
export function processes(): Process[] {
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  return pids.flatMap((name) => {
    try {
      const stat = /^\d+ \((.*)\) (\S) (\d+)/s.exec(readFileSync(`/proc/${name}/stat`, 'latin1'));
      if (stat === null || stat[2] === 'Z') return [];
      const words = (file: string): string[] =>
        readFileSync(`/proc/${name}/${file}`, 'latin1').split('\0').slice(0, -1);
      return [
        {
          pid: Number(name),
          parent: Number(stat[3]),
          state: stat[2] as string,
          name: stat[1] as string,
          argv: words('cmdline'),
          environment: words('environ'),
        },
      ];
    } catch {
      return [];
    }
  });
}

/** The processes that the actions of a world started, here and on its hosts; `sshFolder` is the folder of its SSH world. */
export function ofActions(sshFolder: string, all = processes()): Process[] {
  return all.filter(({ environment }) => environment.includes(`${MARK}=${sshFolder}`));
}

/** The sessions of the world's sshds: all that they have forked. */
export function sessions(sshFolder: string, all = processes()): Process[] {
  // sshd writes its state over its arguments, all in one word.
  const doomed = all.filter(({ argv }) =>
    argv.some((word) => word.includes(`${sshFolder}/sshd`) && word.includes('[listener]')),
  );
  const found: Process[] = [];
  for (let next = doomed.shift(); next !== undefined; next = doomed.shift()) {
    const { pid } = next;
    const children = all.filter(({ parent }) => parent === pid);
    found.push(...children.filter(({ name }) => name.startsWith('sshd')));
    doomed.push(...children);
  }
  return found;
}

/** What is left of actions, in words; empty when nothing is. */
export function leftovers(sshFolder: string): string[] {
  const all = processes();
  const found = [...ofActions(sshFolder, all), ...sessions(sshFolder, all)];
  return [...new Set(found.map(({ pid, argv, name }) => `${pid} ${argv.join(' ').slice(0, 300) || name}`))];
}

/** The sshd sessions at the other end of the TCP connections of these processes, to a port if one is given. */
export function servedBy(clients: readonly Process[], sshFolder: string, port?: number): Process[] {
  const table = tcpTable();
  const own = new Set(clients.flatMap(({ pid }) => socketsOf(pid)));
  const local = table.filter((one) => own.has(one.inode) && (port === undefined || one.remote === port));
  const peers = table.filter((one) => local.some((l) => l.local === one.remote && l.remote === one.local));
  const inodes = new Set(peers.map(({ inode }) => inode));
  return sessions(sshFolder).filter(({ pid }) => socketsOf(pid).some((inode) => inodes.has(inode)));
}

function tcpTable(): { local: number; remote: number; inode: string }[] {
  const lines = ['tcp', 'tcp6'].flatMap((name) => {
    try {
      return readFileSync(`/proc/net/${name}`, 'latin1').split('\n').slice(1, -1);
    } catch {
      return [];
    }
  });
  return lines.map((line) => {
    const fields = line.trim().split(/\s+/);
    const port = (address = ''): number => Number.parseInt(address.slice(address.lastIndexOf(':') + 1), 16);
    return { local: port(fields[1]), remote: port(fields[2]), inode: fields[9] ?? '' };
  });
}

function socketsOf(pid: number): string[] {
  try {
    return readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
      const inode = /^socket:\[(\d+)\]$/.exec(readlink(`/proc/${pid}/fd/${fd}`))?.[1];
      return inode === undefined ? [] : [inode];
    });
  } catch {
    return [];
  }
}

function readlink(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return '';
  }
}

/** Sends a signal to one process; tells whether the process was still there. */
export function send(signal: NodeJS.Signals, pid: number): boolean {
  if (pid < 2) throw new Error(`${pid} is no process to be signalled`); // 0 would be the group of the test itself
  try {
    process.kill(pid, signal);
    return true;
  } catch {
    return false;
  }
}
