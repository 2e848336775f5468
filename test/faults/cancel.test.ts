import t, { type Test } from 'tap';
import { type DriverName, isCutShort, UNDER_TEST } from '../helpers/drivers';
import { deployId } from '../helpers/front-end';
import { until } from '../helpers/waits';
import { type Backup, type Bed, expectCancelled, isBackup, makeBed, SLOW, VM1 } from './cancel-bed';
import type { FaultWorld } from './fault-world';
import { plainLines } from './kills';
import { holdLock } from './lock-holder';
import { ofActions, send } from './processes-of';

t.setTimeout(2_400_000);

const inEachPhase = (driver: DriverName) => async (t: Test) => {
  const bed = await makeBed(t, { driver });
  const { faults, lay, start, cancel, transfers, transferring, repository } = bed;
  const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
  const phases: Record<string, () => Promise<unknown>> = {
    'as Node starts': () => pause(20),
    'as it connects': async () => {
      await until(() => ofActions(faults.world.ssh.folder).some(isBackup));
      await pause(200);
    },
    'as the transfer starts': () => until(() => transfers(VM1).length > 0, 60, 2),
    'in the transfer': () => transferring(VM1),
    ...(driver === 'zfs' ? { 'as it is applied': () => until(() => applies(faults), 60) } : {}),
  };
  const chosen = Object.entries(phases).slice(isCutShort(driver) ? -2 : 0);
  for (const [phase, reached] of chosen) {
    faults.reset();
    lay(VM1);
    const files = faults.world.traits.content(repository(1));
    const backup = start(VM1);
    await reached();
    const began = Date.now();
    const cancelled = await cancel(VM1);
    t.comment(`${phase}: cancel took ${((Date.now() - began) / 1000).toFixed(1)} s`);
    t.same([cancelled.code, cancelled.stdout, plainLines(cancelled.stderr)], [0, '', []], `${phase}: cancel succeeds`);
    await expectCancelled(t, bed, phase, await backup.ended, files);
  }

  if (driver === 'restic') await whileItWaits(t, bed);

  const idle = await cancel(VM1);
  t.same([idle.code, idle.stdout, idle.stderr], [0, '', ''], 'without a backup, cancel succeeds');
  lay(VM1);
  t.equal((await start(VM1).ended).code, 0, 'and the next backup succeeds');
};

/** zfs: a backup whose transfer is over, and whose disks are written into those of the VM's dataset. */
function applies({ world }: FaultWorld): boolean {
  return world.traits.running().some((line) => line.includes('qemu-img'));
}

/** restic: a backup that waits for a lock. */
async function whileItWaits(t: Test, bed: Bed): Promise<void> {
  const { faults, lay, start, cancel, repository } = bed;
  faults.reset();
  lay(VM1);
  const holder = await holdLock(faults, repository(1));
  t.teardown(() => send('SIGKILL', holder.pid));
  const files = faults.world.traits.content(repository(1));
  const backup = start(VM1);
  await until(() => faults.programCalls().at(-1)?.endsWith(' unlock') ?? false, 60, 5);
  const began = Date.now();
  t.equal((await cancel(VM1)).code, 0, 'waiting for a lock: cancel succeeds');
  t.comment(`waiting for a lock: cancel took ${((Date.now() - began) / 1000).toFixed(1)} s`);
  const ended = await backup.ended;
  t.equal(faults.debris(repository(1)).length, 1, "waiting for a lock: the holder's lock stays");
  await holder.release();
  await expectCancelled(t, bed, 'waiting for a lock', ended, files);
}

const ofItsVmOnly = (driver: DriverName) => async (t: Test) => {
  const { faults, lay, start, cancel, transfers, transferring, repository } = await makeBed(
    t,
    { driver },
    SLOW / 4, // until all of them have begun, on the emulated machine or a busy one
  );
  const others: Record<string, Backup> = {
    'VM 10': { vmId: 10 },
    'VM 1 in another system datastore': { vmId: 1, systemDs: 1020 },
    'the same folder under another DEPLOY_ID': { vmId: 1, deploy: `${deployId(1)}0` },
  };
  const all = [VM1, ...Object.values(others)];
  for (const one of all.slice(0, 3)) lay(one);
  const running = all.slice(0, 3).map((one) => start(one));
  for (const one of all.slice(0, 3)) t.ok(await transferring(one), 'it transfers');
  running.push(start(all[3] as Backup)); // not at once: the two share their staging folder
  t.ok(await until(() => transfers(VM1).length === 2, 60), 'as does that of the same folder');
  t.equal((await cancel(VM1)).code, 0);
  const [mine, ...rest] = await Promise.all(running.map(({ ended }) => ended));
  t.equal(mine?.code, 14, 'the backup of VM 1 was cancelled');
  for (const [index, what] of Object.keys(others).entries()) {
    t.same([rest[index]?.code, plainLines(rest[index]?.stderr ?? '')], [0, []], `${what} survives`);
  }
  t.same(await faults.quiet(), []);
  for (const vmId of [1, 10]) t.equal(faults.damage(repository(vmId)), undefined, 'the repository is sound');
  // A half upload beside a running backup may be its own: the next removal sweeps it.
  const locks = [1, 10]
    .flatMap((vmId) => faults.debris(repository(vmId)))
    .filter((name) => !name.includes('-restic-temp-'));
  t.same(locks, [], 'no lock is left');
};

const ofTheDead = (driver: DriverName) => async (t: Test) => {
  const bed = await makeBed(t, { driver, names: ['host1', 'server', 'bridge'], sshds: 3 });
  const { faults, lay, start, cancel, transferring, transfers, repository } = bed;
  const { ssh } = faults.world;
  const bridged: Backup = { vmId: 1, bridge: 'bridge' };
  lay(bridged);
  const files = faults.world.traits.content(repository(1));
  const logins = ssh.connections('host1');
  const backup = start(bridged);
  t.ok(await transferring(bridged));
  t.equal((await cancel(bridged)).code, 0);
  await expectCancelled(t, bed, 'on a bridge host', await backup.ended, files);
  t.equal(ssh.connections('host1'), logins, 'the host itself was left alone');

  const hung = start(bridged);
  t.ok(await transferring(bridged));
  send('SIGSTOP', hung.child.pid ?? 0);
  const forced = await cancel(bridged);
  t.match([forced.code, forced.stderr], [0, /ended process [0-9]+ by force, for the backup did not end by itself/]);
  t.equal((await hung.ended).code, null);
  t.same(await faults.quiet(), []);
  t.equal((await start(bridged).ended).code, 0, 'the next backup succeeds');
  t.same(faults.debris(repository(1)), [], 'and removes what the hung one left');

  const alone = start(bridged);
  await until(() => ofActions(ssh.folder).some(isBackup));
  send('SIGSTOP', alone.child.pid ?? 0);
  const cut = await cancel({ ...bridged, bridge: 'nowhere' });
  t.match([cut.code, cut.stderr], [5, /by force[\s\S]*nowhere/], 'its host cannot be reached');
  t.same((await alone.ended).signal, 'SIGKILL', 'and what hangs here is ended all the same');
  faults.reset();
  lay(bridged);

  const kept = start(bridged);
  t.ok(await transferring(bridged));
  const programs = ofActions(ssh.folder).filter(({ environment }) =>
    environment.some((word) => word.startsWith('ONE_BACKUP_ACTION=')),
  );
  for (const { pid } of programs) send('SIGSTOP', pid);
  send('SIGKILL', kept.child.pid ?? 0);
  await kept.ended;
  t.equal(transfers(bridged).length, 1, 'the transfer was kept artificially');
  const other = await cancel({ ...bridged, deploy: `${deployId(1)}0` });
  t.same([other.code, transfers(bridged).length], [0, 1], 'the cancel of another VM lets it be');
  const began = Date.now();
  const cancelled = await cancel(bridged);
  t.comment(
    `programs without their action: cancel took ${((Date.now() - began) / 1000).toFixed(1)} s: ${cancelled.stderr.trim()}`,
  );
  t.equal(cancelled.code, 0);
  t.same(await faults.quiet(), []);
  t.equal((await start(bridged).ended).code, 0, 'the next backup succeeds');
  t.same(faults.debris(repository(1)), [], 'and removes what the killed one left');
};

for (const driver of UNDER_TEST) {
  t.test(`${driver}: cancel ends a backup in each of its phases and leaves nothing of it`, inEachPhase(driver));
  if (isCutShort(driver)) continue;
  t.test(`${driver}: cancel ends the backup of its VM and no other`, ofItsVmOnly(driver));
  t.test(
    `${driver}: cancel ends what a killed action left running, on the bridge host if there is one`,
    ofTheDead(driver),
  );
}
