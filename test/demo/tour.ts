import { statSync } from 'node:fs';
import { join } from 'node:path';
import { difference } from '../helpers/disk';
import { withAttribute, withText } from '../helpers/messages';
import type { DemoDriver } from './drivers';
import type { Stage } from './stage';
import type { Backup, DemoWorld } from './world';

const VM = 1;
/** The VM whose backup is cancelled: a name that begins like the other's. */
const SLOW_VM = 10;
const IMAGE_ID = 6;
/** What the driver calls a backup. */
const SOURCE = '[0-9a-f]{8,12}';

/** Shows every action of a driver, in the order in which a VM's backups see them. Throws Surprise. */
export async function tour(world: DemoWorld, stage: Stage, driver: DemoDriver, keep: boolean): Promise<void> {
  stage.step('The space of the datastore');
  const monitored = await stage.run(
    `$DRIVER/monitor 100 --message ${world.save('monitor.xml', world.frontEnd.message('monitor'))}`,
  );
  const free = /^FREE_MB=([0-9]+)$/m.exec(monitored.stdout)?.[1];
  stage.check(Number(free) > 0, 'three lines, as oned expects them');
  stage.note('monitor', monitored.seconds, `${free} MB free`);

  const chain: Backup[] = [];
  for (const increment of [0, 1, 2]) chain.push(await backUp(world, stage, increment, chain));

  stage.step('What is in a backup');
  await list(world, stage, chain);
  await restore(world, stage, chain);

  stage.step('Every point in time, downloaded');
  stage.say('This is what the downloader of the front-end does with a backup URL.');
  for (const { id } of chain) await download(world, stage, chain, id);

  await cancel(world, stage, driver);
  const flat = await flatten(world, stage, chain);

  stage.step('The points that remain, downloaded again');
  for (const { id } of flat) await download(world, stage, flat, id);

  await remove(world, stage, flat, keep);
}

async function backUp(world: DemoWorld, stage: Stage, increment: number, chain: readonly Backup[]): Promise<Backup> {
  const name = increment === 0 ? 'full backup' : `increment ${increment}`;
  stage.step(`Backup of VM ${VM}: ${name}`);
  const { folder, args, message } = world.prepare(VM, increment);
  world.frontEnd.serveImage(VM, chain);
  const before = increment === 0 ? 0 : world.storedMb();
  await layOut(stage, args, folder);
  const { stdout, seconds } = await stage.run(`$DRIVER/backup ${args.join(' ')} --message ${message}`);
  const [, source = '', sizeMb = ''] = new RegExp(`^(${SOURCE}) ([0-9]+) raw\n$`).exec(stdout) ?? [];
  stage.check(source !== '', `one line: SOURCE ${source}, SIZE_MB ${sizeMb}, FORMAT raw`);
  const grown = (world.storedMb() - before).toFixed(1);
  stage.note(name, seconds, `${sizeMb} MB, +${grown} MB on the server`);
  return { id: increment, source };
}

/** The transfer driver's part. */
async function layOut(stage: Stage, [place = '']: readonly string[], staged: string): Promise<void> {
  const folder = place.slice(place.indexOf(':') + 1);
  stage.say('First the part of the transfer driver: the files of the VM in its staging folder.');
  await stage.run(`rm -rf ${folder}\nmkdir -p ${folder}\ncp -r ${staged} ${folder}/backup`);
  stage.say('Now the driver:');
}

async function list(world: DemoWorld, stage: Stage, chain: readonly Backup[]): Promise<void> {
  const message = world.saveChain('ls.xml', 'ls-i2', VM, chain);
  const listed = await stage.run(`$DRIVER/ls -i -1 --message ${message}`);
  const url: string = JSON.parse(listed.stdout)['0'];
  stage.check(url === world.frontEnd.url(VM, chain, 'disk.0.2'), 'the URL of disk 0 as it was at the last increment');
  stage.note('ls', listed.seconds, '1 disk');

  const stat = world.save(
    'stat.xml',
    world.frontEnd.message('stat-from-backup-ds', (text) =>
      withText(text, 'IMAGE', 'PATH', url).replace(/<BACKUP_JOB_ID>.*?<\/BACKUP_JOB_ID>/, ''),
    ),
  );
  const size = await stage.run(`$DRIVER/stat 4 --message ${stat}`);
  stage.check(size.stdout === `${world.disk(VM).sizeMb}\n`, 'the virtual size of the disk, in MB');
  stage.note('stat', size.seconds, `${size.stdout.trim()} MB`);
}

async function restore(world: DemoWorld, stage: Stage, chain: readonly Backup[]): Promise<void> {
  stage.step('Restore, increment 1');
  const { oned } = world.frontEnd;
  const message = world.saveChain('restore.xml', 'restore-increment-named', VM, chain, (text) =>
    withText(text, '', 'INCREMENT_ID', '1'),
  );
  const { stdout, seconds } = await stage.run(`$DRIVER/restore 2 --message ${message}`);
  const [template, image] = stdout.trim().split(' ');
  stage.say('oned (a stand-in here, at ONE_XMLRPC) was asked for:');
  for (const { method, params, user } of oned.calls.filter(({ method: name }) => name.endsWith('.allocate')))
    stage.quote(`${method} as ${user}\n${String(params[0]).trim()}`);
  stage.check(
    Number(template) > 0 && Number(image) > 0,
    `template ${template} and image ${image}; oned would now fill the image`,
  );
  stage.note('restore', seconds, 'a template and an image');
}

async function download(world: DemoWorld, stage: Stage, chain: readonly Backup[], id: number): Promise<void> {
  const message = world.saveChain(`ls.${chain.length}.xml`, 'ls-i2', VM, chain);
  const got = `point.${id}.qcow2`;
  const [downloader] = world.frontEnd.downloaders;
  const reading =
    downloader === undefined
      ? [`at=\${url#ssh://}`, `ssh "\${at%%:*}" "cat '\${at#*:}'" >${got}`]
      : [`eval "$($REMOTES/${downloader} "$url")"`, `eval "$command" >${got} && eval "$clean_command"`];
  const { seconds } = await stage.run(
    [
      `url=$($DRIVER/ls -i ${id} --message ${message} |`,
      `  node -p 'JSON.parse(fs.readFileSync(0))[0]')`,
      ...reading,
    ].join('\n'),
  );
  const original = world.disk(VM).at(id);
  await stage.run(`qemu-img compare -F raw ${got} ${world.shown(original)}`);
  const differs = difference(join(world.desk, got), original);
  stage.check(
    differs === undefined,
    `point ${id} is the disk as it was, byte for byte${differs === undefined ? '' : `: ${differs}`}`,
  );
  const size = (statSync(join(world.desk, got)).size / 2 ** 20).toFixed(1);
  stage.note(`download of point ${id}${chain.length === 3 ? '' : ', flattened'}`, seconds, `${size} MB, identical`);
}

async function cancel(world: DemoWorld, stage: Stage, driver: DemoDriver): Promise<void> {
  stage.step(`Cancel of a running backup, of VM ${SLOW_VM}`);
  const { folder, args, message } = world.prepare(SLOW_VM, 0);
  const [[attribute, value] = ['', '']] = Object.entries(world.frontEnd.traits.slow(3 * driver.diskMb));
  const slowed = world.save('backup.slow.xml', withAttribute(world.read(message), attribute, value));
  const how = world.prepareCancel(SLOW_VM);
  await layOut(stage, args, folder);
  stage.say(`With ${attribute} ${value} it would take minutes.`);
  const ended = await stage.run(
    [
      `$DRIVER/backup ${args.join(' ')} --message ${slowed} &`,
      `sleep ${driver.headStartSeconds}`,
      "TIMEFORMAT='%R s'",
      `time $DRIVER/backup_cancel ${how.args.join(' ')} --message ${how.message}`,
      'wait $!',
    ].join('\n'),
    14,
  );
  const seconds = Number(/^([0-9.]+) s$/m.exec(ended.all)?.[1]);
  stage.check(
    seconds > 0 && seconds < 10,
    `cancelled in ${seconds.toFixed(1)} s, and the backup told so by exit code 14`,
  );
  stage.check(
    [...world.stored(SLOW_VM), ...world.leftovers(SLOW_VM)].length === 0,
    'nothing of it is left on the backup server',
  );
  stage.check(world.processesOf(SLOW_VM) === 0, 'no process of it is left');
  stage.note('cancel', seconds, 'nothing left');
}

async function flatten(world: DemoWorld, stage: Stage, chain: readonly Backup[]): Promise<Backup[]> {
  stage.step('Flatten: of three backups, two are to be kept');
  const message = world.saveChain('increment_flatten.xml', 'increment_flatten', VM, chain);
  const { stdout, seconds } = await stage.run(`$DRIVER/increment_flatten ${IMAGE_ID} --message ${message}`);
  const [, sizeMb = '', merged = '', kept = ''] =
    new RegExp(`^([0-9]+) 1:(${SOURCE}),2:(${SOURCE})\n$`).exec(stdout) ?? [];
  const isNew = merged !== chain[1]?.source;
  stage.check(
    kept === chain[2]?.source,
    isNew
      ? `a new full backup ${merged} of ${sizeMb} MB stands for increments 0 and 1`
      : `increment 1 is the first now, of ${sizeMb} MB; nothing was merged, for each backup is a full one`,
  );
  stage.note('flatten', seconds, `${sizeMb} MB, ${isNew ? 'a new full backup' : 'nothing merged'}`);
  return [
    { id: 1, source: merged },
    { id: 2, source: kept },
  ];
}

async function remove(world: DemoWorld, stage: Stage, chain: readonly Backup[], keep: boolean): Promise<void> {
  stage.step('Remove, twice: oned repeats it after a failure');
  const putBack = keep ? world.remember() : undefined;
  const message = world.saveChain('rm.xml', 'rm-increments', VM, chain);
  const { seconds } = await stage.run(`$DRIVER/rm ${IMAGE_ID} --message ${message}`);
  await stage.run(`$DRIVER/rm ${IMAGE_ID} --message ${message}`);
  stage.check(world.stored(VM).length === 0, 'no backup is left, and the second time is no error');
  stage.note('rm', seconds, `${world.storedMb().toFixed(1)} MB left on the server`);
  putBack?.();
}
