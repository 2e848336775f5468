import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import t, { type Test } from 'tap';
import { BackedUpVm } from '../helpers/backed-up-vm';
import { type Ended, type FrontEndWorld, startFrontEnd } from '../helpers/front-end';
import { withAttribute, withText } from '../helpers/messages';
import { killTree } from '../helpers/processes';

// Only a restic datastore has a secret attribute: there is nothing that the other drivers could tell of it.

/** The part of the password that no quoting changes, and how it looks in base64, wherever it begins. */
const CORE = 'kT9vXwQ2ZpLm4RtY';
const PASSWORD = `it's "${CORE}" $x & <y>`;
const WRONG_CORE = 'zz8HqWn3VbC6DfGk';
const NEEDLES = [CORE, WRONG_CORE].flatMap((core) => [
  core,
  ...[0, 1, 2].map((shift) =>
    Buffer.from(`${'x'.repeat(shift)}${core}`)
      .toString('base64')
      .slice(4, 20),
  ),
  Buffer.from(core).toString('hex'),
]);

/** Reads the command lines of all processes, over and over, until told to stop; then tells where a needle was. */
const WATCH = `
const { parentPort, workerData: needles } = require('node:worker_threads');
const { readdirSync, readFileSync } = require('node:fs');
const found = new Set();
let rounds = 0, seen = 0, stop = false;
parentPort.on('message', () => { stop = true; });
const look = () => {
  rounds++;
  for (const pid of readdirSync('/proc')) {
    if (!/^[0-9]+$/.test(pid)) continue;
    let line = '';
    try { line = readFileSync('/proc/' + pid + '/cmdline', 'latin1'); } catch { continue; }
    if (line.includes('restic')) seen++;
    for (const needle of needles) if (line.includes(needle)) found.add(line.replaceAll('\\0', ' '));
  }
  if (stop) { parentPort.postMessage({ found: [...found], rounds, seen }); process.exit(0); }
  setTimeout(look, 1); // a look takes as long: what is looked for gets the other half of the processor
};
look();`;

let world: FrontEndWorld;
let vm: BackedUpVm;

/** What of the folders holds a needle, in its name or content, and what a crash left. */
function leaks(...folders: readonly string[]): string[] {
  const holds = (text: string): boolean => NEEDLES.some((needle) => text.includes(needle));
  return folders.flatMap((folder) => {
    try {
      return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
        const path = join(folder, entry.name);
        if (entry.isDirectory()) return leaks(path);
        const isCore = /^core(\.\d+)?$/.test(entry.name);
        return isCore || holds(entry.name) || (entry.isFile() && holds(readFileSync(path, 'latin1'))) ? [path] : [];
      });
    } catch {
      return []; // it was gone again; what stays is seen in the next round
    }
  });
}

/** Does something while all command lines and files are watched; then everything that it printed is searched, too. */
async function watched(t: Test, what: () => Promise<readonly Ended[]>): Promise<void> {
  const worker = new Worker(WATCH, { eval: true, workerData: NEEDLES });
  const told = new Promise<{ found: string[]; rounds: number; seen: number }>((resolve, reject) => {
    worker.once('message', resolve).once('error', reject);
  });
  const inFiles = new Set<string>();
  let over = false;
  const files = (async () => {
    while (!over) {
      for (const leak of leaks(world.folder, world.ssh.folder)) inFiles.add(leak);
      await sleep(50);
    }
  })();
  const ended = await what().finally(() => {
    over = true;
  });
  await files;
  worker.postMessage('stop');
  const { found, rounds, seen } = await told;
  t.ok(rounds > 20 && seen > 0, `the watch saw restic run: ${seen} times in ${rounds} rounds`);
  t.strictSame(found, [], 'no command line');
  for (const leak of leaks(world.folder, world.ssh.folder)) inFiles.add(leak);
  t.strictSame([...inFiles], [], 'no file, while it ran and after');
  for (const { stdout, stderr } of ended) {
    t.notOk(
      NEEDLES.some((needle) => `${stdout}${stderr}`.includes(needle)),
      `no output: ${stderr}`,
    );
  }
}

/** The processes whose command line holds all of these. */
function running(...parts: readonly string[]): number[] {
  const lineOf = (pid: string): string => {
    try {
      return readFileSync(`/proc/${pid}/cmdline`, 'latin1');
    } catch {
      return '';
    }
  };
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  return pids.filter((pid) => parts.every((part) => lineOf(pid).includes(part))).map(Number);
}

interface Step {
  readonly script: string;
  readonly args: readonly string[];
  readonly stdin: string;
}

/** A call of each action that opens the repository, by those that change nothing first. */
function steps(edit = (text: string) => text): Step[] {
  const image = (name: 'ls-i2' | 'restore-increment-named' | 'increment_flatten' | 'rm-increments'): string =>
    world.imageMessage(name, 1, vm.chain, (text) => edit(text.replace(/<INCREMENT_ID>.*?<\/INCREMENT_ID>/, '')));
  const [args, stdin] = vm.call(vm.chain.length);
  return [
    { script: 'restic/ls', args: ['-i', '-1'], stdin: image('ls-i2') },
    { script: 'restic/restore', args: ['2'], stdin: image('restore-increment-named') },
    { script: 'restic_downloader.rb', args: ['--stream', vm.url(0)], stdin: '' },
    { script: 'restic/backup', args, stdin: edit(stdin) },
    { script: 'restic/increment_flatten', args: ['6'], stdin: image('increment_flatten') },
    { script: 'restic/rm', args: ['6'], stdin: image('rm-increments') },
  ];
}

function serve(edit = (text: string) => text): void {
  const xml = /<DATASTORE>[\s\S]*?<\/DATASTORE>/.exec(world.message('ls-i2', edit))?.[0] as string;
  world.oned.behaviour = { datastores: { 100: xml } };
}

async function all(some: readonly Step[], more: readonly string[] = []): Promise<Ended[]> {
  const ended: Ended[] = [];
  for (const { script, args, stdin } of some) ended.push(await world.run(script, [...args, ...more], stdin));
  return ended;
}

t.before(async () => {
  world = await startFrontEnd({ password: PASSWORD });
  vm = new BackedUpVm(world, 1);
});
t.teardown(() => world.stop());

t.test('a search that finds what is there', async (t) => {
  const file = join(world.folder, 'message.xml');
  writeFileSync(file, world.message('monitor'));
  t.strictSame(leaks(world.folder), [file], 'in base64');
  rmSync(file);
  t.strictSame(leaks(world.folder), []);
});

t.test('the first backup, which creates the repository, and increments', async (t) => {
  await watched(t, async () => [await vm.backUp(), await vm.backUp(), await vm.backUp()]);
  vm.stage(3);
  serve();
});

t.test('with a wrong password', async (t) => {
  const wrong = (text: string): string => withText(text, 'DATASTORE', 'RESTIC_PASSWORD', `no ${WRONG_CORE}`);
  serve(wrong);
  await watched(t, async () => {
    const ended = await all(steps(wrong));
    for (const { code, stderr } of ended) t.equal(code, 7, stderr);
    const verbose = await all(steps(wrong).slice(0, 1), ['--verbose']);
    return [...ended, ...verbose];
  });
  serve();
});

t.test('killed while it runs', async (t) => {
  await watched(t, async () => {
    const killed: Ended[] = [];
    for (const { script, args, stdin } of steps().slice(2, 5)) {
      for (const [signal, delayMs] of [
        ['SIGTERM', 700],
        ['SIGKILL', 900],
      ] as const) {
        const { child, ended } = world.start(script, args, stdin);
        await sleep(delayMs);
        child.kill(signal);
        killed.push(await ended);
      }
    }
    return killed;
  });
});

t.test('--dry-run and --verbose', async (t) => {
  await watched(t, async () => [
    ...(await all(steps().slice(0, 3), ['--verbose'])),
    ...(await all(steps(), ['--dry-run'])),
  ]);
});

t.test('while every action does its work', async (t) => {
  vm.stage(3);
  await watched(t, async () => {
    const ended = await all(steps().slice(0, 5), ['--verbose']);
    for (const { code, stderr } of ended) t.equal(code, 0, stderr);
    return [...ended, ...(await all(steps().slice(5)))];
  });
});

t.test('when the server goes away meanwhile', async (t) => {
  vm.chain.length = 0;
  await vm.backUp();
  vm.stage(1);
  await watched(t, async () => {
    const slowly = steps((text) => withAttribute(text, 'RESTIC_BWLIMIT', '32'));
    const [backup] = slowly.filter(({ script }) => script === 'restic/backup') as [Step];
    const { ended } = world.start(backup.script, backup.args, backup.stdin);
    // As soon as restic is there, it is killed off from its server.
    let over = false;
    void ended.then(() => {
      over = true;
    });
    while (!over && running('restic', '--json', vm.staging).length === 0) await sleep(10);
    const sshds = running(`${world.ssh.folder}/sshd`);
    for (const pid of sshds) killTree(pid);
    const broken = await ended;
    t.not(broken.code, 0, broken.stdout);
    const refused = await all(steps().filter(({ script }) => /ls|backup|rm$/.test(script)));
    for (const { code, stderr } of refused) t.equal(code, 5, stderr);
    return [broken, ...refused];
  });
});
