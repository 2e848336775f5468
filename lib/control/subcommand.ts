import type { Driver } from '../engine/engine';
import type { FrontEnd } from '../opennebula/front-end';
import type { CommandLine } from './call';
import type { OpenedDatastore, TemplateOfFile } from './open-datastore';
import type { Screen } from './screen';

/** What a shell offers for a word that is still to be typed. */
export type Completion = 'file' | 'folder' | readonly string[];

/** A word that is told by its place. The last one may be missing, or be many. */
export interface Positional {
  /** As the usage line shows it: `FILE`. */
  readonly name: string;
  readonly describe: string;
  readonly optional?: boolean;
  readonly many?: boolean;
  readonly completes?: Completion;
}

/** An option: a flag, or one with a value. */
export interface Option {
  /** Without the dashes. */
  readonly name: string;
  readonly describe: string;
  /** What stands for the value in the help, `N`; an option without it is a flag. */
  readonly value?: string;
  /** May be given several times. */
  readonly many?: boolean;
  readonly completes?: Completion;
}

/** A call that the help shows. */
interface Example {
  /** What follows `backupctl`. */
  readonly line: string;
  readonly meaning: string;
}

/** One subcommand of backupctl. Its help, its reading of the command line and its completion come from this table. */
export interface Subcommand {
  readonly name: string;
  /** One sentence; its first words are the list of subcommands. */
  readonly summary: string;
  /** More of the help: what it does and what it leaves alone. */
  readonly details?: string;
  readonly positionals: readonly Positional[];
  readonly options: readonly Option[];
  /** It calls `open` or `template`: its help has `--id` and `--base-path`. */
  readonly opensDatastore?: boolean;
  /** Takes words after `--`, for the sake described. */
  readonly rest?: string;
  readonly examples: readonly [Example, ...Example[]];
  /** What exit code 1 means, when it is not a defect of ours: findings. */
  readonly findings?: string;
  /** Does it, and returns the exit code: 0 or, with findings, 1. All else is thrown as DriverError. */
  readonly run: (context: ControlContext) => Promise<number>;
}

/** What a subcommand gets to work with. */
export interface ControlContext {
  /** The words and options of the call, typed. */
  readonly line: CommandLine;
  readonly screen: Screen;
  readonly frontEnd: FrontEnd;
  /** The environment, for programs that are started. */
  readonly env: NodeJS.ProcessEnv;
  /** Fires on Ctrl-C and the like; its reason is a DriverError. */
  readonly signal: AbortSignal;
  /** All engines. */
  readonly drivers: readonly Driver[];
  /** The path of the running script; the drivers' folders are beside it. */
  readonly script: string;
  /** A datastore, its hosts and its engine, by its id or by the file of its template. Throws `usage`, `config` or `oned`. */
  readonly open: (fileOrId: string) => Promise<OpenedDatastore>;
  /** A datastore that is not registered yet, by the file of its template. Throws `notFound` or `config`. */
  readonly openNew: (file: string) => Promise<OpenedDatastore>;
  /** The template in a file, which need not be registered. Throws `notFound` or `config`. */
  readonly template: (file: string) => Promise<TemplateOfFile>;
}

/** Options that every subcommand has. */
const COMMON: readonly Option[] = [
  { name: 'verbose', describe: 'Tell on stderr what is done' },
  { name: 'no-color', describe: 'No colours; nor are there any with NO_COLOR in the environment, or into a pipe' },
  { name: 'help', describe: 'Show this help, as -h does' },
];

/** Options that say what only oned knows of a datastore that is given by its FILE. */
const OF_FILES: readonly Option[] = [
  { name: 'id', value: 'N', describe: 'The id of the datastore, for a FILE' },
  {
    name: 'base-path',
    value: 'DIR',
    describe: "Its folder on the backup server, for a FILE (default: OpenNebula's own, .../datastores/N)",
    completes: 'folder',
  },
];

/** All options of a subcommand. */
export function optionsOf({ options, opensDatastore }: Subcommand): readonly Option[] {
  return [...options, ...(opensDatastore ? OF_FILES : []), ...COMMON];
}
