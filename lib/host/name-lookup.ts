import { lookup } from 'node:dns/promises';
import { DriverError } from '../errors';
import type { SshTarget } from './ssh-config';

/** Returns the address that the name of a host stands for; nothing when another machine or a program looks it up. Throws `unreachable`. */
export async function addressOf({ host, hostname, route, addressFamily }: SshTarget): Promise<string | undefined> {
  if (route.kind !== 'direct') return undefined;
  try {
    return (await lookup(hostname, { family: addressFamily })).address;
  } catch (cause) {
    const what =
      (cause as NodeJS.ErrnoException).code === 'EAI_AGAIN'
        ? `the name service does not answer for ${hostname}`
        : `no address for the name ${hostname}`;
    const hint = 'Check the name; put it into the name service or /etc/hosts, or give its HostName in ~/.ssh/config';
    throw new DriverError('unreachable', what, { host, hint, cause });
  }
}
