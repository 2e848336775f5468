import { basename } from 'node:path';
import type { Test } from 'tap';
import { deployId, type Ended, type FrontEndOptions, type Running } from '../helpers/front-end';
import { realMessage, withAdded, withText } from '../helpers/messages';
import { until } from '../helpers/waits';
import { type FaultWorld, startFaultWorld, withAttributes } from './fault-world';
import { plainLines } from './kills';
import { ofActions, type Process } from './processes-of';

/** So slow, in KiB/s, that a backup surely still transfers when it is cancelled. */
export const SLOW = 1200;

/** A backup: of which VM, where, and by what name. */
export interface Backup {
  readonly vmId: number;
  readonly systemDs?: number;
  readonly deploy?: string;
  readonly bridge?: string;
}

/** The VM whose backups are cancelled. */
export const VM1: Backup = { vmId: 1 };

/** A world in which backups are started, and cancelled. */
export interface Bed {
  readonly faults: FaultWorld;
  readonly repository: (vmId: number) => string;
  readonly lay: (backup: Backup) => void;
  readonly start: (backup: Backup) => Running;
  readonly cancel: (backup: Backup) => Promise<Ended>;
  /** Waits until the program of this backup has sent something. */
  readonly transferring: (backup: Backup) => Promise<boolean>;
  readonly transfers: (backup: Backup) => Process[];
}

/** A world in which VM 1 has a backup already, and a disk full of new data. */
export async function makeBed(t: Test, options: FrontEndOptions = {}, slow = SLOW): Promise<Bed> {
  const faults = await startFaultWorld(options);
  t.teardown(() => faults.stop());
  const { world } = faults;
  const repository = (vmId: number): string => world.repository(vmId);
  for (const vmId of [1, 10]) faults.init(repository(vmId));
  const disk = faults.newDisk('disk');
  await faults.makeChain(1, disk, 1);
  faults.keep();
  disk.change(150);
  let laid = 0;
  const place = ({ vmId, systemDs = 102 }: Backup): string =>
    `host1:${world.staging(vmId, systemDs).replace('/datastores/', '//datastores/')}`;
  const bridged = (message: string, { bridge }: Backup): string =>
    bridge === undefined ? message : withAdded(message, 'BACKUP_CONFIG', 'LAST_BRIDGE', bridge);
  const transfers = ({ vmId, systemDs }: Backup): Process[] => {
    const folder = `${world.staging(vmId, systemDs)}/`;
    return ofActions(world.ssh.folder).filter(
      ({ name, argv }) => name === world.traits.programs[0] && argv.some((word) => word.startsWith(folder)),
    );
  };
  return {
    ...{ faults, repository, transfers },
    lay: ({ vmId, systemDs }) => faults.stage(vmId, disk, 0, `laid${laid++}`, systemDs),
    start: (backup) => {
      const { vmId, systemDs = 102, deploy = deployId(vmId) } = backup;
      const [args, message] = world.backupCall(vmId, [0], 0);
      const slowed = withAttributes(withText(message, 'VM', 'DEPLOY_ID', deploy), world.traits.slow(slow));
      const words = [place(backup), args[1] ?? '', deploy, ...args.slice(3, 5), String(systemDs)];
      return world.start(world.script('backup'), words, bridged(slowed, backup));
    },
    cancel: (backup) =>
      world.run(
        world.script('backup_cancel'),
        [place(backup), backup.deploy ?? deployId(backup.vmId)],
        bridged(realMessage('backup_cancel'), backup),
      ),
    transferring: (backup) => {
      const { receivedKib } = world.traits;
      const before = receivedKib(repository(backup.vmId));
      return until(() => transfers(backup).length > 0 && receivedKib(repository(backup.vmId)) > before + 200, 60);
    },
  };
}

/** What must hold after a backup was cancelled. */
export async function expectCancelled(
  t: Test,
  { faults, repository }: Bed,
  what: string,
  ended: Ended,
  before: readonly string[],
): Promise<void> {
  t.comment(`${what}: the backup ended with ${ended.code ?? ended.signal}: ${ended.stderr.trim()}`);
  t.equal(ended.stdout, '', `${what}: the backup answers nothing`);
  // Before Node has set its handlers up, the signal ends it without a word.
  if (ended.signal === null)
    t.same([ended.code, plainLines(ended.stderr).length], [14, 1], `${what}: it fails with one line`);
  t.same(await faults.quiet(), [], `${what}: nothing runs any more`);
  t.same(faults.debris(repository(1)), [], `${what}: no lock, half upload or temporary folder is left`);
  const files = faults.world.traits.content(repository(1));
  // Only a very slow machine leaves data to the next prune, and then says so.
  if (!ended.stderr.includes('left to the next action'))
    t.same(files, before, `${what}: the repository holds what it held before`);
  t.same(faults.damage(repository(1)), undefined, `${what}: the repository is sound`);
}

/** Node runs the script of a backup: the env(1) that becomes it does no more. */
export function isBackup({ argv: [program = '', ...words] }: Process): boolean {
  return basename(program) === 'node' && words.some((word) => word.endsWith('/backup'));
}
