import type { Store } from './folder-stores';
import { startZfsMachine, type ZfsMachine } from './zfs-machine';
import { sudoersOf } from './zfs-rights';

/** Shell: kills the session of sshd that serves the oldest rsync of oneadmin; fails when there is none any more. */
export const KILL_SESSION_OF_RSYNC = `pid=$(pgrep -o -u oneadmin -x rsync) || exit 1
  while :; do case $(ps -o comm= -p $pid) in sshd*) break ;; '') exit 1 ;; esac; pid=$(ps -o ppid= -p $pid | tr -d ' '); done
  kill -KILL $pid`;

let started: Promise<ZfsMachine> | undefined;
let datasets = 0;

/** The backup server with ZFS of all worlds of this process, set up as the README says. It ends with the process. */
export function zfsServer(): Promise<ZfsMachine> {
  started ??= start();
  return started;
}

async function start(): Promise<ZfsMachine> {
  const machine = await startZfsMachine();
  await machine.run('cat >/etc/sudoers.d/backups && visudo -cf /etc/sudoers.d/backups', { input: sudoersOf('sudo') });
  return machine;
}

/** Makes a dataset there for whoever has that key; returns its name. */
export async function newDataset(machine: ZfsMachine, publicKey: string): Promise<string> {
  const dataset = `tank/world${++datasets}`;
  const line = `cat >>~oneadmin/.ssh/authorized_keys && zfs create ${dataset} && chown oneadmin: /${dataset}`;
  const { code, stderr } = await machine.run(line, { input: publicKey });
  if (code !== 0) throw new Error(stderr);
  return dataset;
}

/** What the ZFS driver has stored below a dataset. The mountpoints there are the names of the datasets. */
export function zfsStore(machine: ZfsMachine, dataset: string): Store {
  const lines = (command: string): string[] =>
    machine
      .shSync(command)
      .split('\n')
      .filter((line) => line !== '');
  const incoming = (folder: string): string => folder.replace(/\/([^/]+)$/, '/.incoming/$1');
  const stored = (folder: string): string[] =>
    lines(`ls ${folder}/.zfs/snapshot 2>/dev/null | sed -n 's/^one-backup-//p'`).sort();
  const snapshots = (): string => machine.shSync(`zfs list -Hpo name,guid,userrefs -t snapshot -r ${dataset}`);
  return {
    stored,
    places: (datastore) => lines(`ls ${datastore}`),
    content: (folder) => lines(`zfs list -Hpo name,guid,userrefs -t snapshot ${folder.slice(1)} 2>/dev/null; true`),
    leftovers: (folder) =>
      lines(`ls -A ${incoming(folder)} 2>/dev/null | grep -- ing- || true
        [ -n "$(ls -A ${folder}/.zfs/snapshot 2>/dev/null)" ] || ls -d ${folder}/disk.* 2>/dev/null || true`),
    init: () => {},
    damage: (folder) =>
      lines(CHECK.replace('FOLDER', folder))
        .map((line) => notAsListed(line))
        .find(Boolean),
    receivedKib: (folder) => Number(machine.shSync(`du -sk ${incoming(folder)} 2>/dev/null | cut -f1`)),
    usedMb: (datastore) =>
      Number(machine.shSync(`zpool sync && zfs get -Hpo value used ${datastore.slice(1)}`)) / 2 ** 20,
    keep: () => {
      const [kept, before] = [`${dataset}-kept`, snapshots()];
      machine.shSync(copy(dataset, kept));
      return () => {
        if (snapshots() === before) return;
        machine.shSync(remove(dataset));
        machine.shSync(copy(kept, dataset));
      };
    },
    // What runs by sudo is root's.
    running: () => lines(`ps -eo user=,args= | grep -E '^(oneadmin |root +(sudo |zfs ))' | grep -v 'grep -E' || true`),
  };
}

/** With holds and properties, and without a trace. */
function copy(from: string, to: string): string {
  return `set -e -o pipefail; zfs snapshot -r ${from}@copy; zfs send -Rh ${from}@copy | zfs recv ${to}
    zfs destroy -r ${from}@copy; zfs destroy -r ${to}@copy`;
}

function remove(dataset: string): string {
  return `zfs list -Ho name -t snapshot -r ${dataset} | grep @one-backup- | xargs -r -n 1 zfs release one-backup 2>/dev/null
    zfs destroy -R ${dataset}`;
}

/** A line for each backup: whether its disks are sound, the sizes of its files, its manifest. */
const CHECK = `cd FOLDER/.zfs/snapshot 2>/dev/null || exit 0
for backup in one-backup-*; do (
  cd $backup || exit 1
  sound=true; for disk in disk.[0-9]*; do qemu-img check -q $disk >/dev/null 2>&1 || sound=false; done
  echo "{\\"backup\\":\\"$backup\\",\\"sound\\":$sound,\\"files\\":{$(stat -c '"%n":%s' * | paste -sd,)},\\"manifest\\":$(tr -d '\\n' <manifest.json)}"
); done`;

interface Checked {
  readonly backup: string;
  readonly sound: boolean;
  readonly files: Readonly<Record<string, number>>;
  readonly manifest: { readonly files: readonly { readonly name: string; readonly sizeBytes: number }[] };
}

/** Says what is wrong with a backup. */
function notAsListed(line: string): string | undefined {
  if (!line.endsWith('}}')) return `no manifest: ${line}`;
  const { backup, sound, files, manifest } = JSON.parse(line) as Checked;
  if (!sound) return `${backup} has a disk that qemu-img check does not like`;
  const wanted = manifest.files.map(({ name, sizeBytes }) => `${name} ${sizeBytes}`).sort();
  const found = Object.entries(files).flatMap(([name, size]) => (name === 'manifest.json' ? [] : `${name} ${size}`));
  return wanted.join() === found.sort().join() ? undefined : `${backup} holds ${found}, and should hold ${wanted}`;
}
