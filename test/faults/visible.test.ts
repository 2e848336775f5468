import { mkdirSync } from 'node:fs';
import t from 'tap';
import { until } from '../helpers/waits';
import { startFaultWorld, withAttributes } from './fault-world';
import { send } from './processes-of';

t.setTimeout(2_400_000);

t.test('a backup is never visible before it is complete', async (t) => {
  const faults = await startFaultWorld({ driver: 'rsync' });
  t.teardown(() => faults.stop());
  const { world } = faults;
  const folder = world.repository(1);
  mkdirSync(folder, { recursive: true });
  const disk = faults.newDisk('disk');
  disk.change(200);
  faults.stage(1, disk, 0, '0');
  const start = (kib?: number) => {
    const [args, message] = world.backupCall(1, [0], 0);
    return world.start('rsync/backup', args, withAttributes(message, kib === undefined ? {} : world.traits.slow(kib)));
  };
  const seen: string[] = [];
  const wrong: string[] = [];
  let over = false;
  const watch = until(
    () => {
      for (const name of world.traits.stored(folder).filter((one) => !seen.includes(one))) {
        seen.push(name);
        const damage = faults.damage(folder);
        if (damage !== undefined) wrong.push(damage);
      }
      return over;
    },
    2000,
    2,
  );
  await start(5000).ended;
  for (const afterMs of [600, 900, 1200, 1500]) {
    const { child, ended } = start(3000);
    await new Promise((resolve) => setTimeout(resolve, afterMs));
    send('SIGKILL', child.pid ?? 0);
    await ended;
    await faults.quiet();
  }
  const ended = await start().ended;
  over = true;
  await watch;
  t.strictSame(wrong, []);
  t.ok(seen.includes(ended.stdout.split(' ')[0] ?? ''), 'the watch saw what became visible');
  const chain = [{ id: 0, source: ended.stdout.split(' ')[0] ?? '' }];
  t.equal(await faults.differs(1, chain, 0, disk.at('0')), undefined, 'which can be restored');
});
