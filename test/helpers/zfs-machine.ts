import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type MachineShell, machineShell, type Said } from './machine-shell';

/** A backup server with real OpenZFS: a virtual machine, for the kernel that runs the tests may have none. */
export interface ZfsMachine {
  /** Its sshd is at 127.0.0.1 and this port, for root and oneadmin. */
  readonly port: number;
  /** The private key that both accept. */
  readonly key: string;
  /** The sockets of the logins that are there already (ssh_config(5), ControlPath). */
  readonly controlPath: string;
  /** Its line in a known_hosts file. */
  readonly knownHostsLine: string;
  /** Runs a shell command there, as root unless told. */
  run(command: string, options?: { readonly user?: 'root' | 'oneadmin'; readonly input?: string }): Promise<Said>;
  /** Opens a shell that runs one command after the other: for very many small ones, for a session of each costs most of its time. */
  shell(user: 'root' | 'oneadmin'): MachineShell;
  /** As run, but throws unless the exit code is 0; returns stdout without the last newline. */
  sh(command: string, options?: { readonly user?: 'root' | 'oneadmin' }): Promise<string>;
  /** As sh, as root, but nothing else happens in this process meanwhile. */
  shSync(command: string): string;
  /** Cuts the power: what was not on the disk of the pool is lost. */
  powerOff(): Promise<void>;
  /** Starts it again, from the disk of the pool as it is: takes some ten seconds. */
  powerOn(): Promise<void>;
  /** Ends it and removes all it wrote. */
  stop(): Promise<void>;
}

export interface ZfsMachineOptions {
  /** Shell commands that root runs at every start. All outside of the pool is as new after a cut of power. */
  readonly onBoot?: string;
}

const PARTS = join(__dirname, 'zfs-machine');
/** No command of a test takes so long: one that does waits in vain. */
const COMMAND_LIMIT_MS = 600_000;
const START_LIMIT_MS = 240_000;
/** With the saved memory it takes seconds; should it not wake up, it is started from the beginning. */
const WAKE_LIMIT_MS = 90_000;

/** Starts a machine with an empty pool, `tank`, of 8 GB. Each has disks of its own, removed with it; the first one ever is built for minutes. */
export async function startZfsMachine({ onBoot = '' }: ZfsMachineOptions = {}): Promise<ZfsMachine> {
  const image = execFileSync('bash', [join(PARTS, 'build.sh')], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const machine = new Machine(image.trim(), onBoot);
  try {
    await machine.start(true);
    return machine;
  } catch (error) {
    await machine.stop();
    throw error;
  }
}

/** The machine runs, but nobody answers. */
const ASLEEP = 'asleep';

class Machine implements ZfsMachine {
  readonly key: string;
  readonly #image: string;
  readonly #onBoot: string;
  readonly #folder = mkdtempSync(join(tmpdir(), 'zfs-machine-'));
  readonly #remove = (): void => rmSync(this.#folder, { recursive: true, force: true, maxRetries: 3 });
  #port = 0;
  #qemu: ChildProcess | undefined;
  #ended: Promise<unknown> = Promise.resolve();

  constructor(image: string, onBoot: string) {
    this.#image = image;
    this.#onBoot = onBoot;
    this.key = join(image, 'id');
    process.once('exit', this.#remove);
    execFileSync('cp', ['--sparse=always', join(image, 'pool.img'), this.#pool]);
  }

  get port(): number {
    return this.#port;
  }

  get controlPath(): string {
    return join(this.#folder, '%r');
  }

  get knownHostsLine(): string {
    return `[127.0.0.1]:${this.#port} ${readFileSync(join(this.#image, 'known_host'), 'utf8')}`;
  }

  get #pool(): string {
    return join(this.#folder, 'pool.img');
  }

  /** Starts QEMU: with the saved memory, which belongs to the pool as it was then, or from the beginning. */
  async start(isNew: boolean): Promise<void> {
    let memory = isNew ? ['-incoming', `exec:cat '${join(this.#image, 'state')}'`] : [];
    for (let attempt = 1; ; attempt++) {
      if (isNew || attempt > 1) this.#port = await freePort(); // clients know the port: a cut of power does not change it
      writeFileSync(join(this.#folder, 'known_hosts'), this.knownHostsLine);
      const said = await this.#startQemu(memory, memory.length > 0 ? WAKE_LIMIT_MS : START_LIMIT_MS);
      if (said === undefined) break;
      if (said === ASLEEP && memory.length > 0) {
        await this.powerOff();
        memory = [];
        continue;
      }
      if (attempt === 5 || !said.includes('host forwarding rule'))
        throw new Error(`the machine does not start: ${said}`);
    }
    await this.sh(`date --set @${Math.ceil(Date.now() / 1000)} && { ${this.#onBoot}\n}`.replace('{ \n}', 'true'));
  }

  /** Returns once sshd answers, or what QEMU said when it ended. */
  async #startQemu(more: readonly string[], limitMs: number): Promise<string | undefined> {
    const args = [join(PARTS, 'run.sh'), this.#image, this.#pool, join(this.#folder, 'serial.log'), String(this.#port)];
    // It must not outlive the test, however that ends.
    const qemu = spawn('setpriv', ['--pdeathsig', 'KILL', 'bash', ...args, ...more], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    let said = '';
    let over = false;
    qemu.stderr.on('data', (chunk: Buffer) => {
      said += chunk.toString('latin1');
    });
    this.#qemu = qemu;
    this.#ended = new Promise((resolve) => {
      qemu.once('error', resolve).once('close', resolve);
    }).then(() => {
      over = true;
    });
    for (const began = Date.now(); Date.now() - began < limitMs; ) {
      if ((await this.run('true')).code === 0) {
        qemu.unref();
        (qemu.stderr as Socket).unref();
        return undefined;
      }
      if (over) return said;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    if (more.length > 0) return ASLEEP;
    throw new Error(`the machine does not answer: ${said}${readFileSync(join(this.#folder, 'serial.log'), 'latin1')}`);
  }

  run(
    command: string,
    { user = 'root', input = '' }: { user?: 'root' | 'oneadmin'; input?: string } = {},
  ): Promise<Said> {
    const ssh = spawn('ssh', this.#words(command, user), { stdio: 'pipe', timeout: COMMAND_LIMIT_MS });
    const out: Buffer[] = [];
    const err: Buffer[] = [];
    ssh.stdout.on('data', (chunk) => out.push(chunk));
    ssh.stderr.on('data', (chunk) => err.push(chunk));
    ssh.stdin.on('error', () => {}).end(input);
    return new Promise((resolve, reject) => {
      ssh
        .once('error', reject)
        .once('close', (code) =>
          resolve({ code, stdout: Buffer.concat(out).toString('utf8'), stderr: Buffer.concat(err).toString('utf8') }),
        );
    });
  }

  shell(user: 'root' | 'oneadmin'): MachineShell {
    return machineShell(spawn('ssh', this.#words('exec sh', user), { stdio: 'pipe' }));
  }

  async sh(command: string, options: { user?: 'root' | 'oneadmin' } = {}): Promise<string> {
    const { code, stdout, stderr } = await this.run(command, options);
    if (code !== 0) throw new Error(`${command}: exit code ${code}: ${stderr}`);
    return stdout.replace(/\n$/, '');
  }

  shSync(command: string): string {
    const options = { encoding: 'utf8', stdio: 'pipe', timeout: COMMAND_LIMIT_MS } as const;
    return execFileSync('ssh', this.#words(command, 'root'), options).replace(/\n$/, '');
  }

  /** The arguments of the ssh that runs a command there. */
  #words(command: string, user: string): string[] {
    const options = {
      UserKnownHostsFile: join(this.#folder, 'known_hosts'),
      IdentitiesOnly: 'yes',
      BatchMode: 'yes',
      ConnectTimeout: '10',
      ControlMaster: 'auto', // a login costs this machine half a second
      ControlPath: this.controlPath,
      ControlPersist: '60',
      LogLevel: 'ERROR',
    };
    const words = Object.entries(options).flatMap(([name, value]) => ['-o', `${name}=${value}`]);
    return ['-F', 'none', ...words, '-p', String(this.#port), '-i', this.key, `${user}@127.0.0.1`, '--', command];
  }

  async powerOff(): Promise<void> {
    this.#qemu?.ref();
    this.#qemu?.kill('SIGKILL');
    await this.#ended;
  }

  async powerOn(): Promise<void> {
    await this.start(false);
  }

  async stop(): Promise<void> {
    await this.powerOff();
    process.removeListener('exit', this.#remove);
    this.#remove();
  }
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}
