import { readFile, stat } from 'node:fs/promises';
import { userInfo } from 'node:os';
import { askOwner } from '../command/machine-facts';
import { quote } from '../command/quote';
import type { Driver } from '../engine/engine';
import { type Check, fine, type Link, type Program } from '../engine/examination';
import type { Host } from '../host/host';
import { type AbsolutePath, joinPath } from '../opennebula/ids';
import { confLink } from './conf-link';
import { programsLink } from './machine-links';
import { ACTIONS } from './oned-call';
import type { OpenedDatastore } from './open-datastore';
import type { ControlContext } from './subcommand';

/** Every built script says so in its first lines. */
const BUILT_BY_US = 'Built by build/bundle.ts';

/** How the scripts come to the front-end; where the sources or the package lie, only the operator knows. */
const INSTALL = 'Run npm run install-drivers in the folder of this suite, or install its package';

/** What every machine on which programs are supervised needs. */
const SUPERVISION: readonly Program[] = [
  { name: 'setsid', package: 'util-linux' },
  { name: 'timeout', package: 'coreutils' },
  { name: 'sed', package: 'sed' },
];
const SSH: Program = { name: 'ssh', package: 'openssh-client', version: { args: ['-V'], least: [7, 3] } };

/** The programs that the front-end and hosts need for any driver. */
export const PROGRAMS: Readonly<Record<'front-end' | 'host', readonly Program[]>> = {
  'front-end': [SSH, { name: 'ssh-keygen', package: 'openssh-client' }, ...SUPERVISION],
  host: [SSH, ...SUPERVISION],
};

/** What the front-end needs, whatever the driver is. */
export function frontEndLinks(
  { driver }: Pick<OpenedDatastore, 'driver'>,
  context: Pick<ControlContext, 'frontEnd' | 'line'>,
  local: Host,
  programs: readonly Program[],
): Link[] {
  const { varDir, onedConf } = context.frontEnd;
  return [
    { what: 'user', examine: async () => [await userCheck(context, local)] },
    {
      what: 'actions',
      examine: async () => [await actionsCheck(driver, joinPath(varDir, 'remotes', 'datastore'))],
    },
    confLink(onedConf, driver),
    programsLink({ host: local, on: undefined, programs: [...PROGRAMS['front-end'], ...programs] }, []),
  ];
}

/** What another user can reach says nothing of what the actions can. */
async function userCheck({ frontEnd, line }: Pick<ControlContext, 'frontEnd' | 'line'>, local: Host): Promise<Check> {
  const { varDir } = frontEnd;
  const owner = await stat(varDir).then(
    ({ uid }) => uid,
    () => undefined,
  );
  const { uid, username } = userInfo();
  if (owner === undefined) return { state: 'warning', says: `${varDir} is not there: this is no front-end` };
  if (owner === uid) return fine(`${username}, as the actions`);
  const name = await local.run(askOwner(varDir));
  const command = quote(['sudo', '-u', name, 'backupctl', ...line.typed]);
  const says = `${username} runs this, with other keys and rights than ${name}, who runs the actions`;
  return { state: 'warning', says, mend: { commands: [{ command }] } };
}

/** An upgrade of OpenNebula puts the stock scripts where ours were. */
async function actionsCheck({ name, downloader }: Driver, datastores: AbsolutePath): Promise<Check> {
  const folder = joinPath(datastores, name);
  const paths = Object.keys(ACTIONS).map((action) => joinPath(folder, action));
  if (downloader !== undefined) paths.push(joinPath(datastores, downloader));
  const states = await Promise.all(paths.map(async (path) => ({ path, state: await stateOf(path) })));
  const names = (wanted: ScriptState): string[] =>
    states.filter(({ state }) => state === wanted).map(({ path }) => path.slice(path.lastIndexOf('/') + 1));
  const failure = (says: string, hint: string): Check => ({ state: 'failure', says, hint });
  if (names('missing').length === paths.length) return failure(`there are none in ${folder}`, INSTALL);
  const others = names('of others');
  if (others.length > 0) {
    const says = others.length === paths.length ? 'those' : others.join(', ');
    const hint = `An upgrade of OpenNebula's own packages puts its scripts there. ${INSTALL} again`;
    return failure(`${says} in ${folder} ${others.length === 1 ? 'is' : 'are'} not of this suite`, hint);
  }
  const missing = names('missing');
  if (missing.length > 0) return failure(`there is no ${missing.join(' and no ')} in ${folder}`, `${INSTALL} again`);
  const closed = states.filter(({ state }) => state === 'not executable').map(({ path }) => path);
  if (closed.length === 0) return fine(`in ${folder}`);
  const mend = { commands: [{ command: quote(['chmod', '755', ...closed]), asRoot: true }] } as const;
  return { ...failure(`${names('not executable').join(', ')} cannot be executed`, ''), hint: undefined, mend };
}

type ScriptState = 'ours' | 'of others' | 'not executable' | 'missing';

async function stateOf(path: AbsolutePath): Promise<ScriptState> {
  const script = await readFile(path, 'latin1').catch(() => undefined);
  if (script === undefined) return 'missing';
  if (!script.slice(0, 500).includes(BUILT_BY_US)) return 'of others';
  const { mode } = await stat(path);
  return (mode & 0o111) === 0 ? 'not executable' : 'ours';
}
