import { join, resolve } from 'node:path';
import { EXIT_CODES, InstallFailure } from './install-failure';

/** What the installer was asked for. */
export interface InstallOptions {
  readonly varDir: string;
  readonly confFile: string;
  /** The file was named, so it has to be there. */
  readonly isConfNamed: boolean;
  readonly dryRun: boolean;
  readonly uninstall: boolean;
}

/**
 * Reads the words of the command line. Returns a text instead when they ask for one, with --help or --version.
 * Throws `usage`.
 */
export async function readOptions(
  words: readonly string[],
  { command, version }: { readonly command: string; readonly version: string },
): Promise<InstallOptions | string> {
  const { default: yargs } = await import('yargs');
  const { ONE_LOCATION: location } = process.env;
  const varDefault = location ? join(location, 'var') : '/var/lib/one';
  const confDefault = location ? join(location, 'etc/oned.conf') : '/etc/one/oned.conf';
  let failure: string | undefined;
  const parser = yargs()
    .scriptName(command)
    .usage('$0 [OPTION...]\n\nPuts the backup drivers into a front-end of OpenNebula, or takes them out of it.')
    .parserConfiguration({ 'boolean-negation': false, 'duplicate-arguments-array': false })
    .option('var', { type: 'string', requiresArg: true, describe: `The front-end's data (${varDefault})` })
    .option('conf', { type: 'string', requiresArg: true, describe: `Its oned.conf, only read (${confDefault})` })
    .option('dry-run', { type: 'boolean', describe: 'Say what would be done, and do nothing' })
    .option('uninstall', { type: 'boolean', describe: 'Make all as it was before' })
    .help(false)
    .version(false)
    .option('help', { type: 'boolean', describe: 'Show this help' })
    .option('version', { type: 'boolean', describe: 'Show the version' })
    .epilogue(epilogue())
    .strictOptions()
    .wrap(80)
    .exitProcess(false)
    .fail((message) => {
      failure = message;
    });
  const parsed = (await parser.parseAsync([...words])) as Record<string, unknown> & { _: unknown[] };
  if (failure === undefined && parsed._.length > 0) failure = `unexpected word: ${parsed._[0]}`;
  if (failure === undefined && [parsed.var, parsed.conf].includes('')) failure = 'a path is empty';
  if (failure !== undefined) throw new InstallFailure('usage', `${failure}. See: ${command} --help`);
  if (parsed.help) return parser.getHelp();
  if (parsed.version) return `${command} ${version}`;
  return {
    varDir: resolve(String(parsed.var ?? varDefault)),
    confFile: resolve(String(parsed.conf ?? confDefault)),
    isConfNamed: parsed.conf !== undefined,
    dryRun: parsed['dry-run'] === true,
    uninstall: parsed.uninstall === true,
  };
}

function epilogue(): string {
  const codes = Object.values(EXIT_CODES).map(({ code, meaning }) => `  ${code}  ${meaning}`);
  return [
    'Run it as root or as the owner of the data, oneadmin. What it replaces is kept',
    'in VAR/.one-backup-drivers until --uninstall. Interrupted at any point, run it',
    'again: the same command finishes, the other one goes back.',
    '',
    'Exit codes:',
    ...codes,
  ].join('\n');
}
