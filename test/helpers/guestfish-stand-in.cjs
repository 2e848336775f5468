'use strict';
// Stands in for guestfish 1.48, whose packages and appliance are too large to be installed for a test: it knows the calls
// that lib/command/guestfish.ts makes, and answers with the words, exit codes and files that the real one was seen to
// answer with. It reads ext4 by debugfs. The same tests pass on the real one: GUESTFISH_UNDER_TEST=guestfish.

const { execFileSync, spawn } = require('node:child_process');
const fs = require('node:fs');
const net = require('node:net');
const { join } = require('node:path');

const SOCKETS = `/tmp/.guestfish-${process.getuid()}`;
const PARTITION_TABLE = 446;

/** The real one forks; it says its process id before its socket is there, and ends with the first command that fails. */
function listen([ro, format, a, disk, ...rest]) {
  if (ro !== '--ro' || format !== '--format=qcow2' || a !== '-a' || rest.length > 0) fail('not a call that is known');
  fs.accessSync(disk);
  fs.mkdirSync(SOCKETS, { recursive: true, mode: 0o700 });
  const server = spawn(process.execPath, [__filename, 'serve', disk], { stdio: ['ignore', 'ignore', 'inherit'] });
  server.unref();
  process.stdout.write(`GUESTFISH_PID=${server.pid}; export GUESTFISH_PID\n`);
}

function serve(disk) {
  const path = join(SOCKETS, `socket-${process.pid}`);
  const guest = new Guest(disk);
  const quit = (code) => {
    fs.rmSync(path, { force: true });
    guest.close();
    process.exit(code);
  };
  const server = net.createServer({ allowHalfOpen: true }, (socket) => {
    const chunks = [];
    socket.on('data', (chunk) => chunks.push(chunk));
    socket.on('error', () => {});
    socket.on('end', async () => {
      const [command, ...args] = JSON.parse(Buffer.concat(chunks).toString());
      const name = command.replace(/^-/, '');
      let code = 0;
      try {
        if (name !== 'exit') await guest[name.replaceAll('-', '_')](args, (bytes) => write(socket, bytes));
      } catch (error) {
        process.stderr.write(`libguestfs: error: ${error.said ?? `${name}: ${error}`}\n`);
        code = command === name ? 1 : 0;
      }
      socket.end(Buffer.from([code]), () => (name === 'exit' || code !== 0) && quit(code));
    });
  });
  server.listen(path);
}

function write(socket, bytes) {
  return new Promise((resolve) => (socket.write(bytes) ? resolve() : socket.once('drain', resolve).once('close', resolve)));
}

/** Sends the words; what comes is the output and, in its last byte, the exit code. */
function remote(pid, words) {
  const socket = net.connect(join(SOCKETS, `socket-${pid}`));
  socket.on('error', (error) => {
    process.stderr.write(`${error.path}: ${error.message}\nguestfish: remote: looks like the server is not running\n`);
    process.exit(1);
  });
  // `-` as a file means /dev/stdout, which is opened anew
  const output = words.includes('-') ? fs.openSync('/dev/stdout', 'w') : 1;
  let last = Buffer.alloc(0);
  socket.on('data', (chunk) => {
    const all = Buffer.concat([last, chunk]);
    fs.writeSync(output, all.subarray(0, -1));
    last = all.subarray(-1);
  });
  socket.on('end', () => process.exit(last[0] ?? 1));
  socket.end(JSON.stringify(words));
}

class Guest {
  #raw;
  #mounted = new Map();
  #isRunning = false;
  #isInspected = false;

  constructor(disk) {
    this.#raw = join(process.env.LIBGUESTFS_TMPDIR, `stand-in-${process.pid}`);
    fs.mkdirSync(this.#raw);
    execFileSync('qemu-img', ['convert', '-f', 'qcow2', '-O', 'raw', disk, join(this.#raw, 'disk')]);
  }

  close() {
    fs.rmSync(this.#raw, { recursive: true, force: true });
  }

  run() {
    if (process.env.BROKEN_KVM && process.env.LIBGUESTFS_BACKEND_SETTINGS !== 'force_tcg')
      throw said('appliance closed the connection unexpectedly.\nThis usually means the libguestfs appliance crashed.');
    this.#isRunning = true;
  }

  async inspect_os(_, write) {
    this.#isInspected = true;
    for (const device of this.#filesystems()) {
      this.#mounted = new Map([['/', device]]);
      if (this.#find('/etc/os-release') !== undefined) await write(`${device.name}\n`);
    }
    this.#mounted.clear();
  }

  inspect_get_mountpoints([root], write) {
    if (!this.#isInspected) throw said('inspect_get_mountpoints: no inspection data: call guestfs_inspect_os first');
    return write(`/: ${root}\n/srv/gone: /dev/sdz1\n`);
  }

  list_filesystems(_, write) {
    return write(this.#filesystems().map(({ name }) => `${name}: ext4\n`).join(''));
  }

  mount_ro([device, place]) {
    const found = this.#filesystems().find(({ name }) => name === device);
    if (found === undefined) throw said(`mount_ro: mount_ro_stub: ${device}: No such file or directory`);
    this.#mounted.set(place, found);
  }

  mountpoints(_, write) {
    return write([...this.#mounted].map(([place, { name }]) => `${name}: ${place}\n`).join(''));
  }

  realpath([path], write) {
    return write(Buffer.from(`${this.#need(path, 'realpath').path}\n`, 'latin1'));
  }

  lstatns([path], write) {
    return write(statText(this.#stat(this.#need(path, 'lstatns', 'no last link').ino), ''));
  }

  ls0([path], write) {
    const { ino } = this.#need(path, 'ls0');
    return write(Buffer.from(this.#entries(ino).map(({ name }) => `${name}\0`).join(''), 'latin1'));
  }

  lstatnslist([path, list], write) {
    const entries = this.#entries(this.#need(path, 'lstatnslist').ino);
    const stats = parseList(list).map((name) => entries.find((one) => one.name === name));
    const texts = stats.map((entry) => statText(entry === undefined ? { ino: -1 } : this.#stat(entry.ino), '  '));
    return write(texts.map((text, index) => `[${index}] = {\n${text}}\n`).join(''));
  }

  download([path], write) {
    return this.#stream('debugfs', ['-R', `cat <${this.#need(path, 'download').ino}>`, this.#device()], write);
  }

  async tar_out([path], write) {
    const to = join(this.#raw, 'tree');
    fs.mkdirSync(to);
    const { ino } = this.#need(path, 'tar_out');
    this.#debugfs(`rdump <${ino}> ${to}`);
    const inner = join(to, `<${ino}>`);
    await this.#stream('tar', ['-C', inner, '--numeric-owner', '-cf', '-', '.'], write);
    fs.rmSync(to, { recursive: true });
  }

  async #stream(program, args, write) {
    const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'ignore'] });
    for await (const chunk of child.stdout) await write(chunk);
  }

  /** The partitions of an MBR, else the disk as a whole. */
  #filesystems() {
    if (!this.#isRunning) throw said('call launch before using this function');
    const sector = Buffer.alloc(512);
    const disk = fs.openSync(join(this.#raw, 'disk'), 'r');
    fs.readSync(disk, sector, 0, 512, 0);
    fs.closeSync(disk);
    const starts = [0, 1, 2, 3].map((index) => sector.readUInt32LE(PARTITION_TABLE + index * 16 + 8));
    return starts.flatMap((start, index) => (start === 0 ? [] : { name: `/dev/sda${index + 1}`, offset: start * 512 }));
  }

  #device() {
    const mounted = this.#mounted.get('/');
    if (mounted === undefined) throw said('you must call mount first to mount the root filesystem');
    return `${join(this.#raw, 'disk')}?offset=${mounted.offset}`;
  }

  #debugfs(request) {
    const stdio = ['ignore', 'pipe', 'ignore'];
    return execFileSync('debugfs', ['-R', request, this.#device()], { encoding: 'latin1', stdio, maxBuffer: 2 ** 28 });
  }

  /** Each line of debugfs: /INODE/MODE/UID/GID/NAME/SIZE/. A name may hold the end of a line. */
  #entries(ino) {
    const found = this.#debugfs(`ls -p <${ino}>`).matchAll(/\/(\d+)\/(\d{6})\/\d+\/\d+\/([^/]+)\/\d*\/\n/g);
    const entries = [...found].map(([, inode, mode, name]) => ({ ino: Number(inode), mode: Number.parseInt(mode, 8), name }));
    return entries.filter(({ ino, name }) => ino !== 0 && name !== '.' && name !== '..');
  }

  #stat(ino) {
    const text = this.#debugfs(`stat <${ino}>`);
    const [, type, mode] = /Type: (\S+) +Mode: +(\d+)/.exec(text);
    const types = { regular: 0o100000, directory: 0o040000, symlink: 0o120000, FIFO: 0o010000, socket: 0o140000 };
    const size = Number(/Size: (\d+)/.exec(text)[1]);
    return { ino, mode: (types[type] ?? 0o060000) + Number.parseInt(mode, 8), size, mtime: Number(/mtime: 0x([0-9a-f]+)/.exec(text)[1].replace(/^/, '0x')) };
  }

  /** Follows links, the last one too unless told; never out of the guest. */
  #find(path, last = 'last link', depth = 0) {
    let at = { ino: 2, path: '' };
    const parts = path.split('/').filter((part) => part !== '' && part !== '.');
    for (const [index, part] of parts.entries()) {
      const entry = this.#entries(at.ino).find(({ name }) => name === part);
      if (entry === undefined || depth > 20) return undefined;
      const isLink = entry.mode >> 12 === 0o12 && (index < parts.length - 1 || last === 'last link');
      if (!isLink) at = { ino: entry.ino, path: `${at.path}/${part}` };
      else {
        const target = /Fast link dest: "([\s\S]*)"/.exec(this.#debugfs(`stat <${entry.ino}>`))[1];
        const rest = parts.slice(index + 1).join('/');
        return this.#find(`${target.startsWith('/') ? '' : at.path}/${target}/${rest}`, last, depth + 1);
      }
    }
    return { ...at, path: at.path || '/' };
  }

  #need(path, call, last) {
    const found = this.#find(Buffer.from(path, 'utf8').toString('latin1'), last);
    if (found === undefined) throw said(`${call}: ${path}: No such file or directory`);
    return found;
  }
}

/** As the real one reads a list: blanks end a name but in single quotes, and a quote behind a backslash is one. */
function parseList(text) {
  const found = [];
  let name;
  let isQuoted = false;
  for (let at = 0; at < text.length; at++) {
    const one = text[at];
    if (one === '\\' && text[at + 1] === "'") name = `${name ?? ''}${text[++at]}`;
    else if (one === "'") {
      isQuoted = !isQuoted;
      name ??= '';
    } else if (/[ \t]/.test(one) && !isQuoted) {
      if (name !== undefined) found.push(name);
      name = undefined;
    } else name = `${name ?? ''}${one}`;
  }
  if (isQuoted) throw said(`Runaway quote in string "${text}"`);
  return [...found, ...(name === undefined ? [] : [name])].map((one) => Buffer.from(one, 'utf8').toString('latin1'));
}

function statText({ ino, mode = 0, size = 0, mtime = 0 }, indent) {
  return [`st_ino: ${ino}`, `st_mode: ${mode}`, `st_size: ${size}`, `st_mtime_sec: ${mtime}`, 'st_blksize: 1024']
    .map((line) => `${indent}${line}\n`)
    .join('');
}

function said(text) {
  return Object.assign(new Error(text), { said: text });
}

function fail(text) {
  process.stderr.write(`guestfish: ${text}\n`);
  process.exit(1);
}

const [first = '', ...words] = process.argv.slice(2);
const pid = /^--remote=([0-9]+)$/.exec(first)?.[1];
if (first === 'serve') serve(words[0]);
else if (first === '--listen') listen(words);
else if (pid !== undefined && words[0] === '--') remote(pid, words.slice(1));
else fail('not a call that is known');
