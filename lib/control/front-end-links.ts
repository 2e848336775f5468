import { readFile, stat } from 'node:fs/promises';
import { userInfo } from 'node:os';
import { askOwner } from '../command/machine-facts';
import { quote } from '../command/quote';
import { type Check, fine, type Link, type Program } from '../engine/examination';
import type { Host } from '../host/host';
import { joinPath } from '../opennebula/ids';
import { confLink } from './conf-link';
import { programsLink } from './machine-links';
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
      examine: async () => [await actionsCheck(joinPath(varDir, 'remotes', 'datastore', driver.name))],
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
async function actionsCheck(folder: ReturnType<typeof joinPath>): Promise<Check> {
  const script = await readFile(joinPath(folder, 'backup'), 'latin1').catch(() => undefined);
  if (script?.slice(0, 500).includes(BUILT_BY_US)) return fine(`in ${folder}`);
  if (script === undefined) return { state: 'failure', says: `there are none in ${folder}`, hint: INSTALL };
  const hint = `An upgrade of OpenNebula's own packages puts its scripts there. ${INSTALL} again`;
  return { state: 'failure', says: `those in ${folder} are not of this suite`, hint };
}
