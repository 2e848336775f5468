import type { Command } from '../command/command';
import type { AbsolutePath } from '../opennebula/ids';
import type { FileEntry, Files, Host, Space } from './host';

/** Takes one line of the plan. */
export type Print = (line: string) => void;

/**
 * A host on which nothing happens: it tells what would be done and goes on with each command's `dryRun` result.
 * The plan of `--dry-run` is thereby made by the very code that acts, and cannot differ from it.
 */
export class DryHost implements Host {
  readonly name: string;
  readonly files: Files;
  readonly #print: Print;

  constructor(name: string, print: Print) {
    this.name = name;
    this.#print = print;
    this.files = new DryFiles((line) => print(`${name}: ${line}`));
  }

  async run<T>(command: Command<T>): Promise<T> {
    this.#tell(command, '');
    return command.dryRun;
  }

  async programs(names: readonly string[]): Promise<ReadonlySet<string>> {
    this.#print(`${this.name}: see whether it can run ${names.join(' and ')}`);
    return new Set(names);
  }

  mention(command: Command<unknown>, condition: string): void {
    this.#tell(command, ` (${condition})`);
  }

  #tell(command: Command<unknown>, condition: string): void {
    this.#print(`${this.name}: ${command.purpose}${condition}`);
    const environment = [
      ...Object.entries(command.env ?? {}).filter(([, value]) => !value.includes('\n')),
      ...Object.entries(command.secrets ?? {}),
    ].map(([name, value]) => `${name}=${value}`);
    this.#print(`    ${[...environment, ...command.argv.map(shown)].join(' ')}`);
  }
}

/** For display only: nothing is executed from it. */
function shown(word: string): string {
  if (word.includes('\n')) return `'...${word.length} characters of script...'`;
  return /^[\w./:=@%+,-]+$/.test(word) ? word : JSON.stringify(word);
}

class DryFiles implements Files {
  readonly #print: Print;

  constructor(print: Print) {
    this.#print = print;
  }

  async space(path: AbsolutePath): Promise<Space> {
    this.#print(`ask for the size of the filesystem that holds ${path}`);
    return { totalBytes: 0, freeBytes: 0 };
  }

  async list(path: AbsolutePath, dryRun: readonly FileEntry[]): Promise<FileEntry[]> {
    this.#print(`list ${path}`);
    return [...dryRun];
  }

  async read(path: AbsolutePath, dryRun: string): Promise<Buffer> {
    this.#print(`read ${path}`);
    return Buffer.from(dryRun);
  }

  async write(path: AbsolutePath): Promise<void> {
    this.#print(`write ${path}`);
  }

  async makeFolder(path: AbsolutePath): Promise<void> {
    this.#print(`make the folder ${path}`);
  }

  async rename(from: AbsolutePath, to: AbsolutePath): Promise<void> {
    this.#print(`rename ${from} to ${to}`);
  }

  async remove(path: AbsolutePath): Promise<void> {
    this.#print(`remove ${path}`);
  }
}
