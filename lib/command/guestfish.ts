import { DriverError } from '../errors';
import type { AbsolutePath } from '../opennebula/ids';
import { type Command, nothing, type Outcome } from './command';

/** A guestfish that holds a disk open. */
export interface Guestfish {
  /** Its process, by which others reach it. */
  readonly pid: string;
  /** The file with what it says on stderr: errors are told there, not to who asked (guestfish(1), "REMOTE CONTROL"). */
  readonly said: AbsolutePath;
}

/** Something in a directory, as lstat(2) of the guest's filesystem tells it. */
export interface GuestStat {
  readonly mode: number;
  readonly sizeBytes: number;
  /** Seconds since 1970. */
  readonly modifiedAt: number;
}

/**
 * Has it run one command. Each word is an argument of its own, so that none is ever read as a command, a quote or an
 * option. What comes goes through a pipe, for guestfish opens /dev/stdout anew, which no socket allows. A command that
 * fails ends it. Arguments: the file with what it says, those of guestfish.
 */
const ASK = `
said=$1; shift
before=$(wc -c <"$said")
exec 4>&1
code=$({ { guestfish "$@" 3>&- 4>&-; echo $? >&3; } | cat >&4; } 3>&1)
[ "$code" = 0 ] || tail -c +$((before + 1)) -- "$said" >&2
exit "$code"`;

/** Starts the small machine in which the guest's filesystems are read. */
export function launch(fish: Guestfish): Command<undefined> {
  return {
    ...ask(fish, ['run'], 'start the appliance of guestfish', nothing),
    classify: (outcome, host) =>
      outcome.exitCode === 1
        ? new DriverError('failed', `the appliance of guestfish does not start: ${reasonOf(outcome)}`, {
            host,
            hint: 'Run libguestfs-test-tool there as the same user; it must be allowed to read /boot/vmlinuz-*',
          })
        : undefined,
  };
}

/** The roots of the operating systems on the disk: `/dev/sda2`. */
export function operatingSystems(fish: Guestfish): Command<string[]> {
  return ask(fish, ['inspect-os'], 'look for operating systems', ({ stdout }) => lines(stdout));
}

/** Where an operating system mounts what: by mountpoint. */
export function mountpoints(fish: Guestfish, root: string): Command<Map<string, string>> {
  return ask(fish, ['inspect-get-mountpoints', root], 'ask what is mounted where', table);
}

/** All filesystems of the disk, in partitions and volumes of LVM too, with their types. */
export function filesystems(fish: Guestfish): Command<Map<string, string>> {
  return ask(fish, ['list-filesystems'], 'list the filesystems', table);
}

/** Mounts a filesystem read-only; `ifPossible`: that it cannot be is no failure (guestfish(1), "EXIT ON ERROR BEHAVIOUR"). */
export function mount(
  fish: Guestfish,
  filesystem: string,
  mountpoint: string,
  ifPossible: boolean,
): Command<undefined> {
  const word = ifPossible ? '-mount-ro' : 'mount-ro';
  return ask(fish, [word, filesystem, mountpoint], `mount ${filesystem}`, nothing);
}

/** What is mounted where: by filesystem. */
export function mounted(fish: Guestfish): Command<Map<string, string>> {
  return ask(fish, ['mountpoints'], 'ask what is mounted', table);
}

/** The path without links in it. Throws `notFound`. */
export function realPath(fish: Guestfish, path: string): Command<string> {
  return ask(fish, ['realpath', path], `find ${path}`, ({ stdout }) => stdout.replace(/\n$/, ''));
}

/** What the path itself is, even if it is a link. Throws `notFound`. */
export function stat(fish: Guestfish, path: string): Command<GuestStat> {
  return ask(fish, ['lstatns', path], `look at ${path}`, ({ stdout }) => toStat(stdout));
}

/** The names in a directory. */
export function names(fish: Guestfish, directory: string): Command<string[]> {
  return ask(fish, ['ls0', directory, '-'], `list ${directory}`, ({ stdout }) => stdout.split('\0').slice(0, -1));
}

/** What things of a directory are, in the order of their names; undefined for one that cannot be looked at. */
export function stats(fish: Guestfish, directory: string, of: readonly string[]): Command<(GuestStat | undefined)[]> {
  return ask(fish, ['lstatnslist', directory, asList(of)], `look at ${directory}`, ({ stdout }) =>
    stdout
      .split(/^\[[0-9]+\] = \{$/m)
      .slice(1)
      .map((text) => (/^ *st_ino: -/m.test(text) ? undefined : toStat(text))),
  );
}

/** Writes a file to stdout. */
export function download(fish: Guestfish, path: string): Command<undefined> {
  return ask(fish, ['download', path, '-'], `read ${path}`, nothing);
}

/** Writes a directory with all it holds to stdout, as an archive of tar. */
export function archive(fish: Guestfish, directory: string): Command<undefined> {
  return ask(fish, ['tar-out', directory, '-', 'numericowner:true'], `read ${directory}`, nothing);
}

/**
 * Writes names as guestfish reads a list of them (its parse_string_list): blanks end a name unless they are in single
 * quotes; a quote that a backslash precedes is one of the name. The empty quotes keep the list from being an option.
 */
export function asList(of: readonly string[]): string {
  const quoted = of.map((name) => name.replace(/'|\\*[ \t]+/g, (found) => (found === "'" ? "\\'" : `'${found}'`)));
  return `''${quoted.join(' ')}`;
}

function ask<T>(
  { pid, said }: Guestfish,
  words: readonly [string, ...string[]],
  purpose: string,
  parse: (outcome: Outcome) => T,
): Command<T> {
  return {
    argv: ['sh', '-c', ASK.trim(), 'one-backup-guestfish', said, `--remote=${pid}`, '--', ...words],
    env: { LC_ALL: 'C' },
    purpose,
    parse,
    dryRun: parse({ exitCode: 0, stdout: '', stderr: '' }),
    ignoreStalls: true, // it waits for the other guestfish
    classify: (outcome, host) => {
      if (outcome.exitCode !== 1) return undefined;
      const reason = reasonOf(outcome);
      const isMissing = /^[a-z_0-9]+: .*No such file or directory/.test(reason);
      const kind = isMissing ? 'notFound' : 'failed';
      return new DriverError(kind, `guestfish cannot ${purpose}: ${reason}`, { host });
    },
  };
}

/** The first error is the reason; others follow from it. */
function reasonOf({ stderr }: Outcome): string {
  const said = lines(stderr);
  const [error = said[0]] = said.filter((line) => line.startsWith('libguestfs: error: '));
  return (error ?? 'it does not say why').replace(/^(libguestfs|guestfish): (error: )?/, '');
}

function toStat(text: string): GuestStat {
  const number = (name: string): number => Number(new RegExp(`^ *st_${name}: ([0-9-]+)$`, 'm').exec(text)?.[1] ?? 0);
  return { mode: number('mode'), sizeBytes: number('size'), modifiedAt: number('mtime_sec') };
}

function table({ stdout }: Outcome): Map<string, string> {
  return new Map(
    lines(stdout).flatMap((line): [string, string][] => {
      const at = line.lastIndexOf(': ');
      return at === -1 ? [] : [[line.slice(0, at), line.slice(at + 2)]];
    }),
  );
}

function lines(text: string): string[] {
  return text.split('\n').filter((line) => line.trim() !== '');
}
