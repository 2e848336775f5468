import type { Driver, Engine } from '../engine/engine';
import type { Hosts } from '../host/hosts';
import type { Datastore } from '../opennebula/datastore';
import type { Element } from '../opennebula/document';
import type { FrontEnd } from '../opennebula/front-end';
import type { CommandLine } from './argv';
import type { Report } from './report';

/** An argument that oned passes by its place. */
interface Positional {
  readonly name: string;
  readonly describe: string;
}

/** An option that oned passes, as `ls -i`. */
interface VerbOption {
  readonly flag: string;
  readonly name: string;
  readonly describe: string;
}

/** From what a verb that is not called with a message on stdin gets one. */
export interface MessageSource {
  readonly line: CommandLine;
  readonly frontEnd: FrontEnd;
  readonly signal: AbortSignal;
  /** Reads the message that the command line names, or stdin. */
  readonly read: () => Promise<Element>;
}

/** What a verb gets to work with. */
export interface VerbContext {
  /** The arguments, by name. */
  readonly argument: (name: string) => string;
  /** Whether a flag of the verb was given. */
  readonly flag: (name: string) => boolean;
  /** Throws `message` when there is none. */
  readonly message: Element;
  readonly hosts: Hosts;
  readonly report: Report;
  readonly frontEnd: FrontEnd;
  readonly signal: AbortSignal;
  readonly dryRun: boolean;
  readonly driver: Driver;
  /** The path of the running script. */
  readonly script: string;
  /** The datastore of the message and its engine. Throws `message` or `config`. */
  readonly datastore: () => Datastore;
  readonly engine: () => Engine;
}

/** One action of a datastore driver, for every engine alike. */
export interface Verb {
  /** The name of its script. */
  readonly name: string;
  readonly summary: string;
  readonly positionals: readonly Positional[];
  readonly option?: VerbOption;
  /** It reads none of its arguments, whatever they are. */
  readonly anyArguments?: boolean;
  /** Flags of its own. */
  readonly flags?: readonly { readonly name: string; readonly describe: string }[];
  /** Where the message comes from, if not from stdin; undefined: this call needs none. */
  readonly message?: (source: MessageSource) => Promise<Element | undefined>;
  /** What stdin holds, in words. */
  readonly input: string;
  /** What stdout holds on success, in words. */
  readonly output: string;
  readonly example: string;
  /** By what backup_cancel finds the programs of this run, on whichever host they are; only backup has one. */
  readonly marker?: (argument: (name: string) => string) => string;
  /** Does it, and returns the lines of the answer. */
  readonly run: (context: VerbContext) => Promise<readonly string[]>;
  /** Undoes it, when the answer could not be delivered: nobody would ever know of what was done. */
  readonly undo?: (context: VerbContext, answer: readonly string[]) => Promise<void>;
}
