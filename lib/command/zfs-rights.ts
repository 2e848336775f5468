import { DriverError } from '../errors';
import type { UserName } from '../opennebula/ids';
import type { Command } from './command';

/** What the login needs to be allowed, where it runs zfs itself (zfs-allow(8)); mounting takes root on Linux all the same. */
export const NEEDED = [
  ...['create', 'clone', 'mount', 'snapshot', 'destroy', 'rollback', 'hold', 'release', 'userprop'],
  ...['recordsize', 'checksum', 'compression', 'atime', 'quota'],
];

/** Asks sudo, which runs nothing, for the first of these commands that it would refuse; nothing when it would run all. */
export function askSudo(commands: readonly Command<unknown>[]): Command<string | undefined> {
  const script = `for line; do { sudo -n -l $line >/dev/null 2>&1 || echo "$line"; } & done; wait`;
  const lines = commands.map(({ argv }) => argv.filter((word) => word !== 'sudo' && word !== '-n').join(' '));
  return {
    argv: ['sh', '-c', script, 'one-backup-ask-sudo', ...lines],
    purpose: 'ask sudo what it would run',
    parse: ({ stdout }) => lines.find((line) => stdout.split('\n').includes(line)),
    dryRun: undefined,
  };
}

/** Asks which rights the login lacks on a dataset and all below. Takes no rights itself. */
export function missingRights(dataset: string, user: UserName): Command<string[]> {
  const script = 'id -Gn -- "$2"; zfs allow "$1"';
  return {
    argv: ['sh', '-c', script, 'one-backup-rights', dataset, user],
    env: { LC_ALL: 'C' },
    purpose: `ask for the rights on ${dataset}`,
    parse: ({ stdout }) => {
      const given = rightsIn(stdout, user);
      return NEEDED.filter((right) => !given.has(right));
    },
    dryRun: [],
  };
}

/** Reads the groups of the user and, after them, what `zfs allow` prints: a block for the dataset, then one for each above it. */
function rightsIn(text: string, user: string): Set<string> {
  const [groups = '', ...lines] = text.split('\n');
  const mine = new Set([`user ${user}`, ...groups.split(' ').map((group) => `group ${group}`), 'everyone']);
  const sets = new Map<string, string[]>();
  const given = new Set<string>();
  let blocks = 0;
  let counts = false;
  for (const line of lines) {
    if (line.startsWith('---- ')) blocks += 1;
    const [, section] = /^(\S.*) permissions:/.exec(line) ?? [];
    if (section !== undefined) counts = section === 'Local+Descendent' || (section === 'Descendent' && blocks > 1);
    const [, set, itsRights = ''] = /^\s+(@\S+) (\S+)$/.exec(line) ?? [];
    if (set !== undefined) sets.set(set, itsRights.split(','));
    const [, who = '', rights = ''] = /^\s+(user \S+|group \S+|everyone) (\S+)$/.exec(line) ?? [];
    if (counts && mine.has(who)) for (const right of rights.split(',')) given.add(right);
  }
  for (const [set, rights] of sets) if (given.has(set)) for (const right of rights) given.add(right);
  return given;
}

/** Whether filesystems can be written, as zfs has been told. */
export function askReadonly(datasets: readonly string[]): Command<string[]> {
  return {
    argv: ['zfs', 'get', '-H', '-o', 'name,value', 'readonly', ...datasets],
    purpose: 'ask which datasets are read-only',
    parse: ({ stdout }) => [...stdout.matchAll(/^(\S+)\ton$/gm)].map(([, name]) => name as string),
    dryRun: [],
  };
}

/** The health of a pool, in one word: ONLINE, DEGRADED, ... Throws `notFound` for one that is not imported. */
export function askHealth(pool: string): Command<string> {
  return {
    argv: ['zpool', 'list', '-H', '-o', 'health', pool],
    purpose: `ask for the health of the pool ${pool}`,
    parse: ({ stdout }) => stdout.trim(),
    classify: ({ stderr }, host) =>
      /no such pool/.test(stderr) ? new DriverError('notFound', `there is no pool ${pool}`, { host }) : undefined,
    dryRun: 'ONLINE',
  };
}
