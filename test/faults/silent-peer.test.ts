import t, { type Test } from 'tap';
import { type DriverName, FOLDER_DRIVERS } from '../helpers/drivers';
import { until } from '../helpers/waits';
import { plainLines } from './kills';
import { makeBed } from './network-bed';
import { ofActions, send, servedBy, sessions } from './processes-of';

t.setTimeout(2_400_000);

const silentPeer =
  (driver: DriverName) =>
  async (t: Test): Promise<void> => {
    const { faults, world, repository, actions } = await makeBed(t, 1, { driver });
    const { receivedKib } = world.traits;
    const before = receivedKib(repository);
    const { ended } = actions({ [world.traits.named.stall]: '30', ...world.traits.slow(60) }).backup();
    const server = world.ssh.port('server');
    const ours = () =>
      ofActions(world.ssh.folder).filter(
        ({ name, argv }) => name === 'ssh' && (driver === 'rsync' || argv.at(-1) === 'sftp'),
      );
    const serving = () => servedBy(ours(), world.ssh.folder, server);
    const children = () => {
      const pids = serving().map(({ pid }) => pid);
      return sessions(world.ssh.folder).filter(({ parent }) => pids.includes(parent));
    };
    // Once data comes: a login that is under way is over too soon to be met by each of the looks.
    const transfers = (): boolean => receivedKib(repository) > before + 50 && serving().length > 0;
    t.ok(await until(transfers, 60, 5));
    const silent = [...serving(), ...children()].map(({ pid }) => pid);
    t.teardown(() => silent.map((pid) => send('SIGCONT', pid)));
    for (const pid of silent) send('SIGSTOP', pid);
    const began = Date.now();
    const { code, stdout, stderr } = await ended;
    t.comment(`it ended after ${Math.round((Date.now() - began) / 1000)} s: ${stderr.trim()}`);
    t.same([code, stdout, plainLines(stderr).length], [12, '', 1], 'stalled, in one line');
    t.match(plainLines(stderr)[0], /moved no data/);
    for (const pid of silent) send('SIGCONT', pid);
    t.same(await faults.quiet(), []);
    const next = await actions().backup().ended;
    t.same([next.code, plainLines(next.stderr)], [0, []], 'once the peer is back, the next backup succeeds');
    t.same(faults.debris(repository), []);
    t.equal(faults.damage(repository), undefined);
  };

// Both are mostly waited for.
for (const driver of FOLDER_DRIVERS) t.test(`${driver}: a peer that is silent ends an action, too`, silentPeer(driver));
