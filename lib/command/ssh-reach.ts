import type { Command, Outcome } from './command';
import { type Login, sshAs, unbracketed } from './ssh-client';

/** Logs in on a server from another host, as the programs there do, and starts SFTP. Nothing when it works, else what ssh said. */
export function reach(login: Login): Command<string | undefined> {
  return {
    argv: [...sshAs(login), unbracketed(login.server), '-s', 'sftp'],
    purpose: `log in on ${login.server} from there`,
    logsInElsewhere: true,
    parse: ({ exitCode, stderr }) => (exitCode === 0 ? undefined : stderr),
    dryRun: undefined,
    accept: [1, 2, 255],
  };
}

/** How many keys the forwarded agent shows there; nothing when there is no agent. */
export function countKeys(): Command<number | undefined> {
  return {
    argv: ['ssh-add', '-l'],
    purpose: 'count the keys of the forwarded agent',
    logsInElsewhere: true,
    parse: ({ exitCode, stdout }) =>
      exitCode === 2 ? undefined : exitCode === 1 ? 0 : stdout.trim().split('\n').length,
    dryRun: 0,
    accept: [1, 2],
  };
}

/** Where ssh there keeps the keys of hosts, and under which address it looks for the server: `ssh -G`. */
export function askSshConfig(login: Login): Command<string> {
  return {
    argv: ['ssh', '-G', '-l', login.user, unbracketed(login.server)],
    purpose: 'ask for the configuration of ssh',
    parse: ({ stdout }: Outcome) => stdout,
    dryRun: '',
  };
}
