import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DriverError, type ErrorKind } from '../errors';
import { Secret } from '../secret';
import { type AbsolutePath, joinPath, parseAbsolutePath } from './ids';

const DEFAULT_ENDPOINT = 'http://localhost:2633/RPC2';

/** Where the files of a front-end lie, and what they say. Only the methods read them. */
export interface FrontEnd {
  /** VAR of the contract: `/var/lib/one`, or `$ONE_LOCATION/var`. */
  readonly varDir: AbsolutePath;
  /** oned's own configuration: `/etc/one/oned.conf`, or `$ONE_LOCATION/etc/oned.conf`. Only some may read it. */
  readonly onedConf: AbsolutePath;
  /** The home of the user who runs the driver, when the environment names one. */
  readonly home: AbsolutePath | undefined;
  /** Where oned's XML-RPC API listens. Throws `oned` when it is not an http or https URL. */
  endpoint(): Promise<URL>;
  /** The session of the user who runs the driver, `USER:PASSWORD`. Throws `oned`. */
  session(): Promise<Secret>;
  /** `serveradmin:PASSWORD`, with which a session can act as another user. Throws `oned`. */
  serverAdminCredentials(): Promise<Secret>;
  /**
   * The folder that holds the staging folders of backups instead of the system datastore, if one is configured. Throws
   * `config`.
   */
  backupBasePath(): Promise<AbsolutePath | undefined>;
}

/**
 * Returns the front-end that this environment describes; reads no file. Throws `config` for a relative ONE_LOCATION or
 * HOME.
 */
export function frontEndFrom(env: NodeJS.ProcessEnv): FrontEnd {
  const location = env.ONE_LOCATION || undefined;
  const varDir = parseAbsolutePath(
    location === undefined ? '/var/lib/one' : join(location, 'var'),
    'ONE_LOCATION',
    'config',
  );
  const home = env.HOME ? parseAbsolutePath(env.HOME, 'HOME', 'config') : undefined;
  const ownFile = (name: string) => (home === undefined ? undefined : joinPath(home, '.one', name));
  const etc = location === undefined ? '/etc/one' : join(location, 'etc');
  return {
    varDir,
    onedConf: parseAbsolutePath(join(etc, 'oned.conf'), 'ONE_LOCATION', 'config'),
    home,
    endpoint: async () =>
      parseEndpoint(env.ONE_XMLRPC || (await endpointFile(ownFile('one_endpoint'))) || DEFAULT_ENDPOINT),
    session: () =>
      readCredentials(
        env.ONE_AUTH || ownFile('one_auth'),
        'Set ONE_AUTH or HOME as for oned, and run the action as oneadmin',
      ),
    serverAdminCredentials: () =>
      readCredentials(
        joinPath(varDir, '.one', 'onegate_auth'),
        'Run the action as oneadmin; oned writes this file when it starts first',
      ),
    backupBasePath: () => readBackupBasePath(joinPath(varDir, 'remotes', 'etc', 'datastore', 'datastore.conf')),
  };
}

function parseEndpoint(text: string): URL {
  const url = URL.canParse(text.trim()) ? new URL(text.trim()) : undefined;
  if (url?.protocol === 'http:' || url?.protocol === 'https:') return url;
  throw new DriverError('oned', `the endpoint of oned is ${JSON.stringify(text)}, which is not an http or https URL`, {
    hint: `Correct ONE_XMLRPC or ~/.one/one_endpoint; without them it is ${DEFAULT_ENDPOINT}`,
  });
}

async function endpointFile(path: string | undefined): Promise<string> {
  if (path === undefined) return '';
  return firstLine(await readIfThere(path, 'oned', 'Make it readable, or set ONE_XMLRPC'));
}

function firstLine(text: string): string {
  return (text.split('\n')[0] as string).trim();
}

/** Reads a file; one that is not there is empty. Throws that kind when it is there and cannot be read. */
function readIfThere(path: string, kind: ErrorKind, hint: string): Promise<string> {
  return readFile(path, 'utf8').catch((cause: NodeJS.ErrnoException) => {
    if (cause.code === 'ENOENT') return '';
    throw new DriverError(kind, `${path} cannot be read: ${cause.code}`, { hint, cause });
  });
}

async function readCredentials(path: string | undefined, hint: string): Promise<Secret> {
  if (path === undefined)
    throw new DriverError('oned', 'neither ONE_AUTH nor HOME says where the session for oned is', { hint });
  const line = firstLine(await readIfThere(path, 'oned', hint));
  if (line === '')
    throw new DriverError('oned', `${path}, which holds the credentials for oned, is missing or empty`, { hint });
  if (!/^[^:]+:./.test(line)) throw new DriverError('oned', `the first line of ${path} is not USER:PASSWORD`, { hint });
  return new Secret(line);
}

async function readBackupBasePath(path: AbsolutePath): Promise<AbsolutePath | undefined> {
  const value = assigned(await readIfThere(path, 'config', 'Make it readable for oneadmin'), 'BACKUP_BASE_PATH', path);
  return value === '' ? undefined : parseAbsolutePath(value, `BACKUP_BASE_PATH in ${path}`, 'config');
}

/**
 * What the shell would assign to that name: the last assignment, without its quotes. Nothing is evaluated: `$` and
 * backquotes throw `config`.
 */
function assigned(conf: string, name: string, path: AbsolutePath): string {
  const lines = [...conf.matchAll(new RegExp(`^[ \\t]*(?:export[ \\t]+)?${name}=(.*)$`, 'gm'))];
  const written = lines.at(-1)?.[1] ?? '';
  const pieces = written.matchAll(/'([^']*)'|"((?:[^"\\]|\\.)*)"|\\(.)|([^\s'"\\;&|]+)|(.)/g);
  let value = '';
  for (const [, single, double, escaped, bare, other] of pieces) {
    if (other !== undefined && /[\s;]/.test(other)) return value;
    if (other !== undefined || /(^|[^\\])[$`]/.test(double ?? bare ?? '')) {
      throw new DriverError('config', `${name} in ${path} is not a plain value`, {
        hint: 'Write the path in full, without $, backquotes and open quotes',
      });
    }
    value += single ?? double?.replace(/\\([\\"$`])/g, '$1') ?? escaped ?? bare ?? '';
  }
  return value;
}
