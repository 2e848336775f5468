import t from 'tap';
import type { Ended, Running } from '../helpers/front-end';
import { type FaultWorld, startFaultWorld } from './fault-world';
import { observe, pickPoints, strike, type Victim } from './kill-cases';

/** The seed of this run; SEED repeats one. What a point falls on depends on the machine, too. */
const SEED = Number(process.env.SEED ?? Date.now() % 1_000_000);
const POINTS = 10;
const isSoak = process.env.SOAK === '1';
/** Slows the struck run of restic, so that there is something to be struck. */
const SLOW = '5000';

/** An action that is struck, in a world that was prepared for it. */
export interface Struck {
  /** Prepares the start of the action; called before each run. */
  readonly lay: () => void;
  readonly start: (bandwidthKib?: string) => Running;
  /** The host of the connection that is struck. */
  readonly host: string;
  readonly repository: string;
  /** Says which of the points that are to be kept cannot be downloaded; after the next try with what that answered. */
  readonly lost: (answered?: Ended) => Promise<string[]>;
}

/** A world and the faults in it. */
interface Lane {
  readonly victims: readonly Victim[];
  readonly sftpOnly: readonly string[];
}

/**
 * Strikes an action at points spread over its course. After each: nothing runs any more, all that is to be kept can be
 * downloaded, the same action again succeeds, and then nothing is left, the repository is sound and all can be
 * downloaded. The lanes run side by side: some faults are mostly waited for.
 */
export function testKills(
  name: string,
  lanes: readonly Lane[],
  prepare: (faults: FaultWorld) => Promise<Struck>,
): void {
  t.setTimeout(isSoak ? 7_200_000 : 600_000);
  t.comment(`SEED=${SEED}`);
  const tests = lanes.map(async (lane) => {
    const faults = await startFaultWorld({ sftpOnly: lane.sftpOnly });
    try {
      return await strikeAll(faults, lane, await prepare(faults));
    } finally {
      await faults.stop();
    }
  });
  t.test(`${name}, struck with SEED=${SEED}`, async (t) => {
    for (const [index, verdicts] of (await Promise.all(tests)).entries()) {
      for (const { what, wrong } of verdicts) t.same(wrong, [], what);
      for (const victim of lanes[index]?.victims ?? []) {
        t.ok(
          verdicts.some((one) => one.victim === victim && one.hit),
          `${victim} was really killed`,
        );
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

async function strikeAll(faults: FaultWorld, { victims }: Lane, action: Struck): Promise<Verdict[]> {
  faults.keep();
  action.lay();
  const course = await observe(faults, () => action.start(SLOW));
  const verdicts: Verdict[] = [];
  for (let round = 0; round < (isSoak ? 3 * victims.length : 1); round++) {
    for (const [index, point] of pickPoints(course, share(victims), SEED + round).entries()) {
      const victim = victims[(index + round) % victims.length] as Victim;
      // The machine is not always equally fast: a victim that had ended already is met earlier. Each try counts.
      for (let earlier = 1; earlier < 16; earlier *= 2) {
        const sooner = { stage: Math.max(0, point.stage - 1), afterMs: Math.round(point.afterMs / earlier) };
        const verdict = await strikeOnce(faults, victim, earlier === 1 ? point : sooner, action);
        t.comment(`${verdict.what}${verdict.hit ? '' : ' (too late)'}`);
        verdicts.push(verdict);
        if (verdict.hit) break;
      }
    }
  }
  return verdicts;
}

/** All lanes together make ten points of an action. */
function share(victims: readonly Victim[]): number {
  return isSoak ? POINTS : Math.round((POINTS * victims.length) / 4);
}

async function strikeOnce(
  faults: FaultWorld,
  victim: Victim,
  point: ReturnType<typeof pickPoints>[number],
  action: Struck,
): Promise<Verdict> {
  const wrong: string[] = [];
  const expect = (what: string, found: readonly string[]): void => {
    wrong.push(...found.map((one) => `${what}: ${one}`));
  };
  faults.reset();
  action.lay();
  const { hit, code, stderr } = await strike(faults, victim, point, () => action.start(SLOW), action.host);
  expect('still runs', await faults.quiet());
  if (victim !== 'action' && code !== 0 && plainLines(stderr).length !== 1) expect('no single line', [stderr]);
  expect('lost before the next try', await action.lost());
  action.lay();
  const next = await action.start().ended;
  if (next.code !== 0) expect('the next try', [`${next.code} ${next.stderr}`]);
  expect('still runs after the next try', await faults.quiet());
  expect('left', faults.debris(action.repository));
  if (next.code === 0) expect('lost after the next try', await action.lost(next));
  expect('damaged', [faults.damage(action.repository) ?? []].flat());
  const said = code === 0 ? 'which succeeded' : `which ended with ${code}: ${plainLines(stderr).join(' / ')}`;
  const what = `${victim} killed ${point.afterMs} ms after start ${point.stage} of restic, ${said}`.slice(0, 400);
  return { what, victim, hit, wrong };
}

/** What oned shows to the user: the lines of stderr without a prefix. */
export function plainLines(stderr: string): string[] {
  return stderr.split('\n').filter((line) => line !== '' && !/^(ERROR|WARN|INFO|DEBUG): /.test(line));
}
