import type { Writable } from 'node:stream';
import { DriverError } from '../errors';
import type { BackupUrl } from '../opennebula/backup-url';
import { OnedClient } from '../opennebula/client';
import type { Element } from '../opennebula/document';
import { parseDatastoreId } from '../opennebula/ids';
import type { MessageSource, Verb, VerbContext } from './verb';

/**
 * The front-end's downloader evaluates what we print, unquoted and twice (contract, "Backup URLs"): so it holds nothing
 * but the path of this script and the URL in base64url, neither of which a shell can misread, and no secret.
 */
export const downloader: Verb = {
  name: 'downloader',
  summary: 'Tells the front-end how to download a disk of a backup, given by its URL; with --stream, downloads it.',
  positionals: [
    { name: 'URL', describe: 'the backup URL; with --stream or --clean also in base64url, as this program prints it' },
  ],
  flags: [
    { name: 'stream', describe: 'Write the disk to stdout' },
    { name: 'clean', describe: 'Remove what a broken-off download kept for the next one' },
  ],
  input: 'not read: the datastore is asked of oned, unless --message names a file with DATASTORE',
  output: 'command="..." and clean_command="..."; with --stream the disk',
  example: '--stream URL > disk.qcow2',
  message: async (source) =>
    source.line.flag('stream') || source.line.flag('clean') ? datastoreOf(source) : undefined,
  async run(context) {
    const { flag, engine, report } = context;
    if (flag('stream')) {
      await engine().download(urlOf(context), report.output as Writable);
      return [];
    }
    if (flag('clean')) {
      await engine().endDownload(urlOf(context));
      return [];
    }
    return print(context);
  },
};

async function print({ argument, driver, report, script }: VerbContext): Promise<string[]> {
  try {
    driver.parseUrl(argument('URL'));
    if (!/^\/[A-Za-z0-9_./+-]+$/.test(script)) {
      throw new DriverError(
        'failed',
        `the path ${JSON.stringify(script)} of this program is not safe in a shell command`,
        {
          hint: 'Install it in a folder without blanks and special characters',
        },
      );
    }
    const code = Buffer.from(argument('URL')).toString('base64url');
    return [`command="${script} --stream ${code}"`, `clean_command="${script} --clean ${code}"`];
  } catch (error) {
    // Without a command the front-end would take the empty output for an empty disk, and for success.
    await report.reply(['command="false"', 'clean_command="true"']);
    throw error;
  }
}

function urlOf({ argument, driver }: Pick<VerbContext, 'argument' | 'driver'>): BackupUrl {
  const text = argument('URL');
  return driver.parseUrl(text.includes('://') ? text : Buffer.from(text, 'base64url').toString());
}

/** The datastore with its secrets, as oned gives it to oneadmin. */
async function datastoreOf({
  line,
  frontEnd,
  signal,
  read,
}: MessageSource & { line: { argument: VerbContext['argument'] } }): Promise<Element> {
  if (line.messageFile !== undefined) return read();
  const text = line.argument('URL');
  const url = text.includes('://') ? text : Buffer.from(text, 'base64url').toString();
  const id = parseDatastoreId(/^[a-z+]+:\/\/([^/]*)\//.exec(url)?.[1] ?? '', 'the datastore of the backup URL');
  return new OnedClient(await frontEnd.endpoint(), await frontEnd.session(), signal).datastoreInfo(id);
}
