import { setTimeout as sleep } from 'node:timers/promises';
import { endMarked } from '../command/cancel';
import { type LocalProcess, listProcesses, runsScript, terminate } from '../host/processes';
import { parseDeployId } from '../opennebula/ids';
import { parseBridgeHost } from '../opennebula/vm';
import { backupMarker, parseHostAndFolder } from './host-and-folder';
import type { Verb } from './verb';

/** The scripts that a backup consists of: the transfer driver fills the staging folder before this driver stores it. */
const SCRIPTS = ['backup', 'prebackup', 'prebackup_live'];
/** How long the backup itself may take to end its programs and clean up, in milliseconds; 10 s are all there is. */
const ENDING_LIMIT_MS = 7_000;
/** An action that was told to end has ended by then, whatever hangs, unless it is itself what hangs, in milliseconds. */
const FORCING_AFTER_MS = 9_300;
const POLL_MS = 100;

/** backup_cancel: ends the running backup of one VM. */
export const backupCancel: Verb = {
  name: 'backup_cancel',
  summary: 'Ends the running backup of a VM, its programs and what they left. Without such a backup it succeeds.',
  positionals: [
    { name: 'HOST:DIR', describe: "the VM's host and its folder there" },
    { name: 'DEPLOY_ID', describe: 'what the hypervisor calls the VM' },
  ],
  input: 'VM, XML or base64',
  output: 'nothing',
  example: 'host1:/var/lib/one/datastores/0/7 one-7 --message vm.xml',
  async run({ argument, message, hosts, report, dryRun }) {
    const { host, folder } = parseHostAndFolder(argument('HOST:DIR'));
    const deployId = parseDeployId(argument('DEPLOY_ID'), 'DEPLOY_ID', 'usage');
    const vm = message.name === 'VM' ? message : message.child('VM');
    const bridge = parseBridgeHost(vm);
    const isOurs = (one: LocalProcess): boolean => isBackupOf(one, folder, deployId);
    if (dryRun) report.plan(`the front-end: end ${SCRIPTS.join(', ')} of ${deployId} in ${folder}`);
    // The action that directs the backup runs here, and ends its programs in the right order when told to.
    const began = Date.now();
    const told = dryRun ? [] : (await listProcesses()).filter(isOurs);
    for (const one of told) terminate(one);
    await remaining(told, began, ENDING_LIMIT_MS);
    try {
      const remote = await hosts.at(bridge ?? host);
      const ended = await remote.run(endMarked(backupMarker(argument('HOST:DIR'), deployId)));
      if (ended > 0) report.log(`ended ${ended} programs on ${remote.name} that had outlived their backup`);
    } finally {
      // also where the host cannot be reached
      const hung = (await remaining(told, began, FORCING_AFTER_MS)).filter((one) => runsScript(one, ['backup']));
      for (const one of hung) {
        terminate(one, 'SIGKILL');
        report.log(`ended process ${one.pid} by force, for the backup did not end by itself; the next one cleans up`);
      }
    }
    return [];
  },
};

/** What of these processes still runs when that much time has passed since `began`, or sooner when nothing does. */
async function remaining(told: readonly LocalProcess[], began: number, limitMs: number): Promise<LocalProcess[]> {
  const left = async (): Promise<LocalProcess[]> =>
    (await listProcesses()).filter((one) =>
      told.some(({ pid, argv }) => pid === one.pid && `${argv}` === `${one.argv}`),
    );
  let running = await left();
  while (Date.now() < began + limitMs && running.length > 0) {
    await sleep(POLL_MS);
    running = await left();
  }
  return running;
}

/** By the arguments that oned passes: HOST:DIR first and DEPLOY_ID third. VM 1 is not VM 10, nor VM 1 in another folder. */
function isBackupOf(one: LocalProcess, folder: string, deployId: string): boolean {
  if (!runsScript(one, SCRIPTS)) return false;
  const at = one.argv.findIndex((word) => word.includes(':/'));
  const place = one.argv[at];
  if (place === undefined || one.argv[at + 2] !== deployId) return false;
  try {
    return parseHostAndFolder(place).folder === folder;
  } catch {
    return false;
  }
}
