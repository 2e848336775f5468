import type { HostName, UserName } from '../opennebula/ids';
import type { Command } from './command';

/** Where a program on another host logs in by itself, with the system's ssh. */
export interface Login {
  readonly server: HostName;
  readonly user: UserName;
}

/** It never asks, notices a dead peer within a minute, passes no agent on, and leaves no master process behind. */
const SSH =
  'ssh -a -x -o BatchMode=yes -o ConnectTimeout=20 -o ServerAliveInterval=15 -o ServerAliveCountMax=4 -o ControlMaster=no -o ControlPath=none';

/** The words of ssh up to the host, none of which holds a blank. */
export function sshAs({ user }: Login): [string, ...string[]] {
  const [program = 'ssh', ...options] = SSH.split(' ');
  return [program, ...options, '-l', user];
}

/** A host's name as ssh takes it: an IPv6 address without brackets. */
export function unbracketed(server: HostName): string {
  return server.replace(/^\[(.*)\]$/, '$1');
}

/** A host's name in front of a colon: an IPv6 address in brackets. */
export function bracketed(server: HostName): string {
  return server.includes(':') && !server.startsWith('[') ? `[${server}]` : server;
}

/** What ssh says when it cannot connect; everything else that it prints, such as a banner, is no reason. */
const SSH_FAILURE =
  /(connect to (?:host|address) .*|Could not resolve hostname.*|\S*Permission denied \(.*|[^\n]*[Hh]ost key [^\n]*(?:failed|known|changed).*|Connection (?:closed|reset|timed out).*|kex_exchange.*|No route to host.*)/;

/** The reason in what ssh said, if one that is known is in it. */
export function sshReason(text: string): string | undefined {
  return SSH_FAILURE.exec(text)?.[1]?.trim();
}

/**
 * Connects to the SFTP server of a host, and says what ssh itself says of it; undefined when it connects. A program that
 * ends as soon as its ssh does has often not passed on why.
 */
export function askSsh(login: Login): Command<string | undefined> {
  return {
    argv: [...sshAs(login), unbracketed(login.server), '-s', 'sftp'],
    purpose: 'ask ssh why the backup server does not answer',
    logsInElsewhere: true,
    parse: ({ exitCode, stderr }) => (exitCode === 0 ? undefined : sshReason(stderr)),
    dryRun: undefined,
    accept: [1, 2, 255],
  };
}
