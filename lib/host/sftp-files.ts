import type SftpClient from 'ssh2-sftp-client';
import { DriverError } from '../errors';
import type { AbsolutePath } from '../opennebula/ids';
import type { FileEntry, Files, Space } from './host';
import { fileError, nearest, refuseLarge } from './local';

/** How long a host may take to answer one request about a file, in milliseconds. */
const FILE_ANSWER_LIMIT_MS = 60_000;

/** The SFTP session that ssh2-sftp-client wraps, which its types do not declare. */
interface Wrapped {
  readonly sftp: {
    ext_openssh_statvfs(path: string, done: (error: Error | undefined, found: StatVfs) => void): void;
  };
}

/** The fields of statvfs(3) that are read, as OpenSSH's extension of SFTP sends them. */
interface StatVfs {
  readonly f_frsize: number;
  readonly f_blocks: number;
  readonly f_bavail: number;
}

/** Files of another host, over its SSH connection. */
export class SftpFiles implements Files {
  readonly #host: string;
  readonly #connect: () => Promise<SftpClient>;

  constructor(host: string, connect: () => Promise<SftpClient>) {
    this.#host = host;
    this.#connect = connect;
  }

  async space(path: AbsolutePath): Promise<Space> {
    return this.#told(path, async (client) => {
      const { sftp } = client as unknown as Wrapped;
      const found = await nearest(path, (candidate) => statVfs(sftp, candidate));
      return { totalBytes: found.f_blocks * found.f_frsize, freeBytes: found.f_bavail * found.f_frsize };
    });
  }

  async list(path: AbsolutePath): Promise<FileEntry[]> {
    return this.#told(path, async (client) => {
      const entries = await client.list(path);
      return entries.map(({ name, type, size, modifyTime }) => ({
        name,
        type: TYPES[type as string] ?? 'other',
        sizeBytes: size,
        modifiedAt: Math.floor(modifyTime / 1000),
      }));
    });
  }

  async read(path: AbsolutePath): Promise<Buffer> {
    return this.#told(path, async (client) => {
      refuseLarge((await client.stat(path)).size);
      return (await client.get(path)) as Buffer;
    });
  }

  async write(path: AbsolutePath, text: string): Promise<void> {
    await this.#told(path, async (client) => {
      await client.put(Buffer.from(text), `${path}.part`, { writeStreamOptions: { mode: 0o600 } });
      await client.posixRename(`${path}.part`, path);
    });
  }

  async makeFolder(path: AbsolutePath): Promise<void> {
    // Another action may make it, or a parent, at the same moment: then mkdir fails, and the next try finds it there.
    await this.#told(path, (client) =>
      client
        .mkdir(path, true)
        .catch(() => client.mkdir(path, true))
        .catch(() => client.mkdir(path, true)),
    );
  }

  async rename(from: AbsolutePath, to: AbsolutePath): Promise<void> {
    await this.#told(from, (client) => client.posixRename(from, to));
  }

  async remove(path: AbsolutePath): Promise<void> {
    await this.#told(path, async (client) => {
      const type = await client.exists(path);
      if (type === 'd') await client.rmdir(path, true);
      else if (type !== false) await client.delete(path, true);
    });
  }

  async #told<T>(path: AbsolutePath, act: (client: SftpClient) => Promise<T>): Promise<T> {
    const client = await this.#connect();
    try {
      return await withinLimit(act(client));
    } catch (cause) {
      throw LOST.test((cause as Error).message)
        ? connectionLost(this.#host, cause)
        : fileError(path, cause as Error, this.#host);
    }
  }
}

/** What ssh2 and ssh2-sftp-client say when the connection goes away, before or in a request. */
const LOST = /No SFTP connection available|Unexpected (end|close) event|No response from server|Not connected/;

/** The connection to a host went away while it was needed. */
export function connectionLost(host: string, cause: unknown): DriverError {
  return new DriverError('unreachable', 'the SSH connection was lost', {
    host,
    hint: 'What ran over it has ended by itself; check the network and sshd there, then try again',
    cause,
  });
}

const TYPES: Readonly<Record<string, FileEntry['type']>> = { '-': 'file', d: 'folder', l: 'link' };

function statVfs(sftp: Wrapped['sftp'], path: string): Promise<StatVfs> {
  return new Promise((resolve, reject) => {
    sftp.ext_openssh_statvfs(path, (error, found) => (error ? reject(error) : resolve(found)));
  });
}

async function withinLimit<T>(answer: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer in ${FILE_ANSWER_LIMIT_MS / 1000} s`)), FILE_ANSWER_LIMIT_MS);
  });
  try {
    return await Promise.race([answer, late]);
  } finally {
    clearTimeout(timer);
  }
}
