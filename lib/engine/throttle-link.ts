import { askLogin, tryLimits } from '../command/machine-facts';
import { type Throttle, throttle } from '../command/throttle';
import type { Host } from '../host/host';
import { parseAbsolutePath } from '../opennebula/ids';
import { fine, type Link, type Program } from './examination';

const ANY_FOLDER = parseAbsolutePath('/', 'a folder');
const PACKAGES: Readonly<Record<string, string>> = {
  nice: 'coreutils',
  ionice: 'util-linux',
  'systemd-run': 'systemd',
};

/** The programs by which a host limits a transfer, if the datastore sets limits. */
export function throttlePrograms(limits: Throttle): Program[] {
  const words = throttle(limits, ANY_FOLDER);
  return Object.entries(PACKAGES).flatMap(([name, of]) => (words.includes(name) ? [{ name, package: of }] : []));
}

/** That the limits of a transfer work on a host, if the datastore sets any. */
export function throttleLinks(limits: Throttle, host: Host): Link[] {
  const [first, ...rest] = throttle(limits, ANY_FOLDER);
  if (first === undefined) return [];
  return [
    {
      what: 'limits',
      after: ['programs'],
      examine: async () => {
        const complaint = await host.run(tryLimits([first, ...rest]));
        if (complaint === '') return [fine('the limits of the transfer work')];
        const says = `the limits of the transfer do not work: ${complaint}`;
        if (!rest.includes('systemd-run') && first !== 'systemd-run')
          return [{ state: 'warning', says, hint: 'Give limits that the login may set' }];
        const user = await host.run(askLogin());
        const command = `loginctl enable-linger ${user}`;
        return [{ state: 'failure', says, mend: { commands: [{ command, on: host.name, asRoot: true }] } }];
      },
    },
  ];
}
