import { quote } from '../command/quote';
import { type Login, sshReason } from '../command/ssh-client';
import { askSshConfig, countKeys, reach } from '../command/ssh-reach';
import { type Check, fine, type Link } from '../engine/examination';
import type { Mend } from '../errors';
import type { Host } from '../host/host';
import { parseSshG } from '../host/ssh-config';
import { KEYS_ONLY } from '../host/ssh-connect-config';

/** A host, and the backup server that it has to reach. */
interface Way {
  readonly host: Host;
  readonly login: Login;
  /** The server's address, as the front-end knows it. */
  readonly serverAddress: () => Promise<string | undefined>;
  /** The file of the key that the front-end offers to it first, if that is in a file. */
  readonly keyFile: () => Promise<string | undefined>;
}

/** That a host can log in on the backup server with the agent that the front-end forwards. */
export function serverLink(way: Way): Link {
  return { what: 'to server', after: ['ssh'], examine: async () => [await wayCheck(way)] };
}

async function wayCheck(way: Way): Promise<Check> {
  const { host, login } = way;
  const said = await host.run(reach(login));
  const there = `${login.user}@${login.server}`;
  if (said === undefined) return fine(`reaches ${there} with the forwarded agent`);
  if (/Host key verification failed|host key is known/i.test(said)) return keyCheck(way, said);
  if (/Permission denied/.test(said)) return refusedCheck(way);
  if (/Could not resolve hostname/.test(said)) return nameCheck(way);
  const hint = `Try on the front-end: ssh -A ${host.name} ssh ${there}; look for a firewall between the two`;
  return { state: 'failure', says: `cannot reach ${there}: ${sshReason(said) ?? lastLine(said)}`, hint };
}

/** The host does not know the server's key, or another one. */
async function keyCheck({ host, login }: Way, said: string): Promise<Check> {
  const isChanged = /IDENTIFICATION HAS CHANGED/.test(said);
  const options = parseSshG(await host.run(askSshConfig(login)));
  const [address = login.server, port = '22', files = '~/.ssh/known_hosts'] = [
    'hostname',
    'port',
    'userknownhostsfile',
  ].map((name) => options.get(name)?.[0]);
  const [file = files] = files.split(' ');
  const name = port === '22' ? address : `[${address}]:${port}`;
  // A path may begin with a tilde, which only the host's shell can read.
  const path = file.startsWith('~/') ? `~/${quote([file.slice(2)])}` : quote([file]);
  const scan = quote(['ssh-keyscan', ...(port === '22' ? [] : ['-p', port]), address]);
  const commands: Mend['commands'] = [{ command: `${scan} >> ${path}`, on: host.name }];
  const forget = { command: `${quote(['ssh-keygen', '-R', name])} -f ${path}`, on: host.name };
  const when = 'Compare with the fingerprint that `ssh-keygen -lf` of the key shows on the server';
  const now = /SHA256:[\w+/]+/.exec(said)?.[0]; // ssh shows it of a key that changed only
  return {
    state: 'failure',
    says: isChanged
      ? `the host key of ${login.server} has CHANGED, as this host knows it${now === undefined ? '' : `: it is now ${now}`}`
      : `the host key of ${login.server} is not known here`,
    hint: isChanged ? `${when}; otherwise somebody may be listening` : when,
    mend: { when, commands: isChanged ? [forget, ...commands] : commands },
  };
}

async function refusedCheck({ host, login, keyFile }: Way): Promise<Check> {
  const there = `${login.user}@${login.server}`;
  const keys = (await host.programs(['ssh-add'])).has('ssh-add') ? await host.run(countKeys()) : 1;
  if (keys === undefined) {
    const hint = `Set "AllowAgentForwarding yes" in sshd_config of ${host.name}, and reload its sshd`;
    return { state: 'failure', says: `${there} refuses the login: no agent is forwarded to this host`, hint };
  }
  if (keys === 0) {
    const says = `${there} refuses the login: the forwarded agent is empty`;
    return { state: 'failure', says, mend: { commands: [{ command: 'ssh-add' }] } };
  }
  const says = `${there} takes none of the keys of the forwarded agent`;
  const file = await keyFile();
  const command = quote(['ssh-copy-id', ...(file === undefined ? [] : ['-i', file]), there]);
  return { state: 'failure', says, hint: KEYS_ONLY, mend: { commands: [{ command }], when: KEYS_ONLY } };
}

async function nameCheck({ host, login, serverAddress }: Way): Promise<Check> {
  const says = `no address for the name ${login.server} on this host`;
  const address = await serverAddress();
  if (address === undefined)
    return { state: 'failure', says, hint: 'Put it into the name service, or /etc/hosts there' };
  const command = `echo ${quote([`${address} ${login.server}`])} >> /etc/hosts`;
  return { state: 'failure', says, mend: { commands: [{ command, on: host.name, asRoot: true }] } };
}

function lastLine(text: string): string {
  return text.trim().split('\n').at(-1) ?? 'ssh does not say why';
}
