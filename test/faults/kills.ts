import { rmSync, writeFileSync } from 'node:fs';
import t from 'tap';
import { type DriverName, isCutShort, UNDER_TEST } from '../helpers/drivers';
import type { Ended, Running } from '../helpers/front-end';
import { type FaultWorld, startFaultWorld } from './fault-world';
import { observe, pickPoints, strike, type Victim } from './kill-cases';

/** The seed of this run; SEED repeats one. What a point falls on depends on the machine, too. */
const SEED = Number(process.env.SEED ?? Date.now() % 1_000_000);
const isSoak = process.env.SOAK === '1';
/** How many points of an action are struck, of those that it asks for. */
const pointsOf = (driver: DriverName, wanted: number): number => (isCutShort(driver) ? 2 : wanted);
/** Slows the struck run, in KiB/s, so that there is something to be struck. */
const SLOW = 1600;

/** An action that is struck, in a world that was prepared for it. */
export interface Struck {
  /** Prepares the start of the action; called before each run. */
  readonly lay: () => void;
  /** Starts it, with these attributes of the datastore. */
  readonly start: (attributes: Readonly<Record<string, string>>) => Running;
  /** The host of the connection that is struck. */
  readonly host: string;
  readonly repository: string;
  /** The points that are to be kept. */
  readonly kept: readonly number[];
  /** Says which of these points cannot be downloaded; with what the action answered, if it did. */
  readonly lost: (points: readonly number[], answered?: Ended) => Promise<string[]>;
}

/** A world and the faults in it. */
interface Lane {
  readonly driver: DriverName;
  readonly victims: readonly Victim[];
  readonly sftpOnly?: readonly string[];
}

/**
 * Strikes an action at points spread over its course. After each: nothing runs any more, what is to be kept can be
 * downloaded (one point of it, each in its turn), the same action again succeeds, and then nothing is left, the
 * repository is sound and all can be downloaded. The lanes run side by side: some faults are mostly waited for.
 */
export function testKills(
  name: string,
  allLanes: readonly Lane[],
  prepare: (faults: FaultWorld) => Promise<Struck>,
  points = 10,
): void {
  t.setTimeout(isSoak ? 7_200_000 : 2_400_000);
  t.comment(`SEED=${SEED}`);
  const lanes = allLanes.filter(({ driver }) => UNDER_TEST.includes(driver));
  const runLane = async (lane: Lane): Promise<Verdict[]> => {
    const faults = await startFaultWorld({ driver: lane.driver, sftpOnly: lane.sftpOnly ?? [] });
    try {
      return await strikeAll(faults, lane, share(lane, lanes, points), await prepare(faults));
    } finally {
      await faults.stop();
    }
  };
  t.test(`${name}, struck with SEED=${SEED}`, async (t) => {
    for (const [index, verdicts] of (await Promise.all(lanes.map(runLane))).entries()) {
      for (const { what, wrong } of verdicts) t.same(wrong, [], what);
      const { driver } = lanes[index] as Lane;
      for (const victim of new Set(verdicts.map((one) => one.victim))) {
        const isHit = verdicts.some((one) => one.victim === victim && one.hit);
        t.ok(isHit, `${driver}: ${victim} was really killed`);
      }
    }
  });
}

interface Verdict {
  readonly what: string;
  readonly victim: Victim;
  readonly hit: boolean;
  readonly wrong: readonly string[];
}

async function strikeAll(faults: FaultWorld, { victims }: Lane, points: number, action: Struck): Promise<Verdict[]> {
  faults.keep();
  action.lay();
  const course = await observe(faults, () => slowed(faults, action));
  const verdicts: Verdict[] = [];
  // Where there are fewer points than victims, other runs strike others: by pairs of one for each half of an action.
  const shift = points < victims.length ? 2 * SEED : 0;
  for (let round = 0; round < (isSoak && faults.world.machine === undefined ? 3 * victims.length : 1); round++) {
    for (const [index, point] of pickPoints(course, points, SEED + round).entries()) {
      const victim = victims[(index + shift + round) % victims.length] as Victim;
      // The machine is not always equally fast: a victim that had ended already is met earlier. Each try counts.
      for (let earlier = 1; earlier < 16; earlier *= 2) {
        const sooner = { stage: Math.max(0, point.stage - 1), afterMs: Math.round(point.afterMs / earlier) };
        const looked = isSoak
          ? action.kept
          : action.kept.filter((_id, n) => n === verdicts.length % action.kept.length);
        const verdict = await strikeOnce(faults, victim, earlier === 1 ? point : sooner, action, looked);
        t.comment(`${verdict.what}${verdict.hit ? '' : ' (too late)'}`);
        verdicts.push(verdict);
        if (verdict.hit) break;
      }
    }
  }
  return verdicts;
}

/** All lanes of a driver together make the points of an action. */
function share({ driver, victims }: Lane, lanes: readonly Lane[], wanted: number): number {
  const all = lanes.filter((lane) => lane.driver === driver).flatMap((lane) => lane.victims);
  const points = pointsOf(driver, wanted);
  return isSoak ? points : Math.round((points * victims.length) / all.length);
}

/** Starts an action that takes its time. */
function slowed({ world, slow }: FaultWorld, action: Struck): Running {
  writeFileSync(slow, '');
  const running = action.start(world.traits.slow(SLOW));
  running.ended.then(() => rmSync(slow));
  return running;
}

async function strikeOnce(
  faults: FaultWorld,
  victim: Victim,
  point: ReturnType<typeof pickPoints>[number],
  action: Struck,
  looked: readonly number[],
): Promise<Verdict> {
  const wrong: string[] = [];
  const expect = (what: string, found: readonly string[]): void => {
    wrong.push(...found.map((one) => `${what}: ${one}`));
  };
  faults.reset();
  action.lay();
  const { hit, ended } = await strike(faults, victim, point, () => slowed(faults, action), action.host);
  const { code, stderr } = ended;
  expect('still runs', await faults.quiet());
  if (victim !== 'action' && code !== 0 && plainLines(stderr).length !== 1) expect('no single line', [stderr]);
  expect('lost before the next try', await action.lost(looked, code === 0 ? ended : undefined));
  // restic sees to that by itself, and `check` would only complain of the lock.
  if (faults.world.driver !== 'restic') expect('visible', [faults.damage(action.repository) ?? []].flat());
  action.lay();
  const next = await action.start({}).ended;
  if (next.code !== 0) expect('the next try', [`${next.code} ${next.stderr}`]);
  expect('still runs after the next try', await faults.quiet());
  expect('left', faults.debris(action.repository));
  if (next.code === 0) expect('lost after the next try', await action.lost(action.kept, next));
  expect('damaged', [faults.damage(action.repository) ?? []].flat());
  const said = code === 0 ? 'which succeeded' : `which ended with ${code}: ${plainLines(stderr).join(' / ')}`;
  const what =
    `${faults.world.driver}: ${victim} killed ${point.afterMs} ms after program ${point.stage}, ${said}`.slice(0, 400);
  return { what, victim, hit, wrong };
}

/** What oned shows to the user: the lines of stderr without a prefix. */
export function plainLines(stderr: string): string[] {
  return stderr.split('\n').filter((line) => line !== '' && !/^(ERROR|WARN|INFO|DEBUG): /.test(line));
}
