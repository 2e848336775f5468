import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { deployId, type FrontEndWorld, startFrontEnd } from '../helpers/front-end';
import { type MessageName, withText } from '../helpers/messages';
import { VmDisk } from './disk';
import type { DemoDriver } from './drivers';

/** One increment of a chain, as oned would know it. */
export interface Backup {
  readonly id: number;
  readonly source: string;
}

/** Everything that the demo works with: one folder, one sshd, a stub of oned's API. */
export class DemoWorld {
  /** The environment of all commands, as lines of shell. */
  readonly exports: readonly string[];
  readonly env: NodeJS.ProcessEnv;
  /** Where the messages lie and the commands run. */
  readonly desk: string;
  readonly frontEnd: FrontEndWorld;
  readonly #folder: string;
  readonly #diskMb: number;
  readonly #disks = new Map<number, VmDisk>();

  /** Starts it. Nothing of it is outside of one temporary folder. */
  static async start(driver: DemoDriver): Promise<DemoWorld> {
    const before = process.env.TMPDIR;
    const folder = mkdtempSync(join(tmpdir(), 'one-demo-'));
    const remove = (): void => rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
    process.once('exit', remove);
    try {
      execFileSync('chmod', ['755', folder]); // sshd reads authorized_keys as the user who logs in
      process.env.TMPDIR = folder;
      return new DemoWorld(
        folder,
        await startFrontEnd({ driver: driver.name, password: 'a password, 2 "quotes" & $more' }),
        driver,
      );
    } finally {
      if (before === undefined) delete process.env.TMPDIR;
      else process.env.TMPDIR = before;
    }
  }

  private constructor(folder: string, frontEnd: FrontEndWorld, driver: DemoDriver) {
    this.#folder = folder;
    this.#diskMb = driver.diskMb;
    this.frontEnd = frontEnd;
    this.desk = join(frontEnd.folder, 'messages');
    mkdirSync(this.desk);
    const set = (name: string): string => `export ${name}=${this.shown(frontEnd.env[name] ?? '')}`;
    this.exports = [
      `export WORLD=${frontEnd.folder}`,
      `export SSH=${frontEnd.ssh.folder}`,
      `export PATH=$SSH/bin:$PATH`,
      ...['ONE_LOCATION', 'ONE_AUTH', 'ONE_XMLRPC', 'XDG_CACHE_HOME'].map(set),
      `export REMOTES=${this.shown(frontEnd.built)}`,
      `export DRIVER=$REMOTES/${driver.name}`,
      `cd ${this.shown(this.desk)}`,
    ];
    this.env = {
      ...frontEnd.env,
      ...{ WORLD: frontEnd.folder, SSH: frontEnd.ssh.folder, REMOTES: frontEnd.built },
      DRIVER: join(frontEnd.built, driver.name),
    };
    frontEnd.serveDatastore();
  }

  /** A path as the commands name it. */
  shown(path: string): string {
    return path.replace(this.frontEnd.folder, '$WORLD').replace(this.frontEnd.ssh.folder, '$SSH');
  }

  /** Saves a message of oned as a file, and returns its name. */
  save(file: string, message: string): string {
    const text = message.startsWith('<') ? message : Buffer.from(message, 'base64').toString();
    writeFileSync(join(this.desk, file), text);
    return file;
  }

  /** A message that was saved. */
  read(file: string): string {
    return readFileSync(join(this.desk, file), 'utf8');
  }

  /** Saves a message about the chain of a VM. */
  saveChain(
    file: string,
    name: MessageName,
    vmId: number,
    chain: readonly Backup[],
    edit = (text: string) => text,
  ): string {
    return this.save(file, this.frontEnd.imageMessage(name, vmId, chain, edit));
  }

  /** The disk of a VM; it is made when first asked for. */
  disk(vmId: number): VmDisk {
    const disk =
      this.#disks.get(vmId) ?? new VmDisk(join(this.frontEnd.folder, `vm${vmId}`), this.env, vmId, this.#diskMb);
    this.#disks.set(vmId, disk);
    return disk;
  }

  /** What the transfer driver would lay into the staging folder, kept aside: `staged.VM.INCREMENT` on the desk. */
  prepare(
    vmId: number,
    increment: number,
  ): { readonly folder: string; readonly args: readonly string[]; readonly message: string } {
    const [args, stdin] = this.frontEnd.backupCall(vmId, [0], increment);
    const disk = this.disk(vmId);
    const named = withText(
      withText(withOneDisk(stdin), 'VM', 'NAME', `vm-${vmId}`),
      'DISK',
      'SIZE',
      String(disk.sizeMb),
    );
    const message = this.save(`backup.${vmId}.${increment}.xml`, named);
    const folder = `staged.${vmId}.${increment}`;
    mkdirSync(join(this.desk, folder));
    const vm = /<VM>[\s\S]*<\/VM>/.exec(named)?.[0] ?? '';
    const wrapped = Buffer.from(vm)
      .toString('base64')
      .replace(/(.{60})/g, '$1\n');
    writeFileSync(join(this.desk, folder, 'vm.xml'), wrapped);
    const file = join(this.desk, folder, `disk.0.${increment}`);
    if (increment === 0) disk.full(file);
    else {
      disk.change();
      disk.increment(file);
    }
    return { folder, args: args.map((word) => this.shown(word)), message };
  }

  /** The message and the arguments that cancel the backup of a VM. */
  prepareCancel(vmId: number): { readonly args: readonly string[]; readonly message: string } {
    const [[place = '']] = this.frontEnd.backupCall(vmId, [0], 0);
    const text = withText(this.frontEnd.message('backup_cancel'), '', 'ID', String(vmId));
    const message = this.save(`backup_cancel.${vmId}.xml`, withText(text, '', 'DEPLOY_ID', deployId(vmId)));
    return { args: [this.shown(place), deployId(vmId)], message };
  }

  /** The datastore's bytes on the backup server, in MB. */
  storedMb(): number {
    return this.frontEnd.traits.usedMb(this.frontEnd.datastore);
  }

  /** The names of a VM's backups on the backup server. */
  stored(vmId: number): string[] {
    return this.frontEnd.traits.stored(this.frontEnd.repository(vmId));
  }

  /** What no finished action leaves there: locks, half-written data. */
  leftovers(vmId: number): string[] {
    return this.frontEnd.traits.leftovers(this.frontEnd.repository(vmId));
  }

  /** How many programs of the backup of a VM run: all of them name its staging folder; and what runs on a server apart. */
  processesOf(vmId: number): number {
    const text = `${this.frontEnd.staging(vmId)}/backup`;
    const pids = readdirSync('/proc').filter((name) => /^[0-9]+$/.test(name));
    const here = pids.filter((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, 'latin1').includes(text);
      } catch {
        return false;
      }
    });
    return here.length + this.frontEnd.traits.running().length;
  }

  /** Keeps a copy of the datastore, and returns what puts it back. */
  remember(): () => void {
    return this.frontEnd.traits.keep(this.frontEnd.datastore);
  }

  /** Ends it, and removes all of it. */
  async stop(): Promise<void> {
    await this.frontEnd.stop();
    rmSync(this.#folder, { recursive: true, force: true, maxRetries: 5 });
  }
}

/** The real VM of the message had three disks. */
function withOneDisk(message: string): string {
  return message.replace(/<DISK>(?:(?!<\/DISK>)[\s\S])*<\/DISK>/g, (disk) =>
    /<DISK_ID>\D*0\D/.test(disk) ? disk : '',
  );
}
