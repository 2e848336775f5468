import { DriverError } from '../errors';
import type { AbsolutePath, UserName } from '../opennebula/ids';
import { type Command, nothing } from './command';
import { explainZfsFailure } from './zfs-failure';
import {
  COLUMNS,
  type Dataset,
  type Properties,
  type PropertyName,
  parseLine,
  planned,
  propertyOf,
  SNAPSHOT,
} from './zfs-list';

/** How zfs(8) is run on the backup server: by the login itself, with rights given by `zfs allow`, or by sudo. */
export interface ZfsAccess {
  readonly sudo: boolean;
  readonly user: UserName;
  /** The dataset below which it needs rights. */
  readonly dataset: string;
}

/** The snapshot of the admin's dataset of which new datasets are clones. */
export const TEMPLATE = 'one-template';
/** The tag under which our snapshots are held. */
const HOLD = 'one-backup';

/** Lists a dataset, with `all` its snapshots and children too, with `tree` all below it. Everybody may: it never takes sudo. Throws `notFound`. */
export function list(
  dataset: string,
  types: 'filesystem' | 'all' | 'tree',
  dryRun: readonly Dataset[] = [],
): Command<Dataset[]> {
  const depth = { filesystem: [], all: ['-d', '1'], tree: ['-r'] }[types];
  const which = [...depth, '-t', types === 'filesystem' ? types : 'filesystem,snapshot'];
  return zfs(undefined, ['list', '-Hp', ...which, '-o', COLUMNS.join(','), dataset], {
    purpose: `look at the dataset ${dataset}`,
    parse: ({ stdout }) =>
      stdout
        .split('\n')
        .filter((line) => line !== '')
        .map(parseLine),
    dryRun: [planned(dataset), ...dryRun],
  });
}

/** What every dataset of ours has. */
const SETTINGS = ['recordsize=64K', 'atime=off'];
/** What one of backups has, too: with a strong checksum a write of what is there already costs nothing (zfsconcepts(7), nop-write). */
export const STRONG_CHECKSUM = 'checksum=sha256';

/** What root runs to have a new template made; the clones of the old one keep it. */
export function retireTemplate(dataset: string): string {
  return `zfs rename ${dataset}@${TEMPLATE} @${TEMPLATE}-until-$(date +%s)`;
}

/** Makes the snapshot of the admin's dataset of which new ones are clones, unless it is there. */
export function makeTemplate(access: ZfsAccess, dataset: string): Command<undefined> {
  const command = change(access, ['snapshot', `${dataset}@${TEMPLATE}`], 'make the template');
  return unless(/already exists/, command, dataset);
}

/** Creates a filesystem as a clone of the template. One that could not be mounted is there all the same. */
export function clone(
  access: ZfsAccess,
  template: string,
  dataset: string,
  settings: readonly string[],
): Command<undefined> {
  const options = [...SETTINGS, ...settings].flatMap((setting) => ['-o', setting]);
  return change(access, ['clone', ...options, `${template}@${TEMPLATE}`, dataset], `create the dataset ${dataset}`);
}

/** Mounts a filesystem. */
export function mount(access: ZfsAccess, dataset: string): Command<undefined> {
  return change(access, ['mount', dataset], `mount the dataset ${dataset}`);
}

/** Checks that a folder belongs to the login. Throws `failed` with what root has to run. */
export function checkOwner(folder: AbsolutePath, user: UserName): Command<undefined> {
  return {
    argv: ['test', '-O', folder, '-a', '-w', folder],
    purpose: `see whether ${folder} belongs to ${user}`,
    parse: nothing,
    dryRun: undefined,
    classify: (_, host) =>
      new DriverError('failed', `the folder ${folder} does not belong to ${user}`, {
        host,
        hint: `Run there as root: chown ${user}: ${folder}`,
      }),
  };
}

/** Sets a property of a filesystem. */
export function set(access: ZfsAccess, dataset: string, setting: string): Command<undefined> {
  return change(access, ['set', setting, dataset], `set ${setting} of ${dataset}`);
}

/** Makes a snapshot with our name and properties; in one step it is there, with all of them. */
export function snapshot(
  access: ZfsAccess,
  dataset: string,
  source: string,
  properties: Properties,
): Command<undefined> {
  const options = Object.entries(properties).flatMap(([name, value]) => [
    '-o',
    `${propertyOf(name as PropertyName)}=${value}`,
  ]);
  return change(access, ['snapshot', ...options, `${dataset}@${SNAPSHOT}${source}`], `make the snapshot ${source}`);
}

/** How many snapshots one command names: sshd gives it to the shell as one word, and Linux bounds that at 128 KiB. */
const PORTION = 200;

/** The sources in portions that one command can name, in their order. */
export function portionsOf(sources: readonly string[]): string[][] {
  const starts = Array.from({ length: Math.ceil(sources.length / PORTION) }, (_, index) => index * PORTION);
  return starts.map((start) => sources.slice(start, start + PORTION));
}

/** Protects snapshots from `zfs destroy`. */
export function hold(access: ZfsAccess, dataset: string, sources: readonly string[]): Command<undefined> {
  const names = sources.map((source) => `${dataset}@${SNAPSHOT}${source}`);
  const purpose = sources.length === 1 ? `hold the snapshot ${sources[0]}` : 'hold the snapshots';
  return change(access, ['hold', HOLD, ...names], purpose);
}

/** Gives up our holds on snapshots; those that have none are fine. */
export function release(access: ZfsAccess, dataset: string, sources: readonly string[]): Command<undefined> {
  const names = sources.map((source) => `${dataset}@${SNAPSHOT}${source}`);
  return unless(/no such tag/, change(access, ['release', HOLD, ...names], 'release the snapshots'), dataset);
}

/** A command that may fail with these words: what it is to do was done already. */
function unless(words: RegExp, command: Command<undefined>, where: string): Command<undefined> {
  return {
    ...command,
    accept: [1],
    parse: (outcome) => {
      const said = outcome.stderr.split('\n').filter((line) => line.trim() !== '' && !words.test(line));
      if (outcome.exitCode === 0 || said.length === 0) return undefined;
      const stderr = said.join('\n');
      const failure = command.classify?.({ ...outcome, stderr }, where);
      throw failure ?? new DriverError('failed', `cannot ${command.purpose} of ${where}: ${said[0]}`);
    },
  };
}

/** Destroys snapshots of a filesystem. */
export function destroySnapshots(access: ZfsAccess, dataset: string, sources: readonly string[]): Command<undefined> {
  const names = sources.map((source) => `${SNAPSHOT}${source}`).join(',');
  return change(access, ['destroy', `${dataset}@${names}`], 'destroy the snapshots');
}

/** Destroys a filesystem that has neither snapshots nor children. */
export function destroy(access: ZfsAccess, dataset: string): Command<undefined> {
  return change(access, ['destroy', dataset], `destroy the dataset ${dataset}`);
}

/** Takes back all that was written since the newest snapshot, which must be that one. */
export function rollback(access: ZfsAccess, dataset: string, source: string): Command<undefined> {
  return change(access, ['rollback', `${dataset}@${SNAPSHOT}${source}`], `roll back to the snapshot ${source}`);
}

/** Where a snapshot's files are, below the mountpoint of its filesystem. */
export function snapshotFolder(source: string): [string, string, string] {
  return ['.zfs', 'snapshot', `${SNAPSHOT}${source}`];
}

function change(access: ZfsAccess, args: readonly string[], purpose: string): Command<undefined> {
  return zfs(access, args, { purpose, parse: nothing, dryRun: undefined });
}

function zfs<T>(
  access: ZfsAccess | undefined,
  args: readonly string[],
  rest: Pick<Command<T>, 'purpose' | 'parse' | 'dryRun'>,
): Command<T> {
  return {
    argv: access?.sudo ? ['sudo', '-n', 'zfs', ...args] : ['zfs', ...args],
    env: { LC_ALL: 'C' },
    classify: (outcome, host) => explainZfsFailure(outcome, host, rest.purpose, access),
    ...rest,
  };
}
