import type { ChildProcessWithoutNullStreams } from 'node:child_process';
import type { Readable } from 'node:stream';

/** How a command ended. */
export interface Said {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A shell that runs one command after the other; it ends with what it runs on. */
export interface MachineShell {
  /** Throws once the shell has ended. */
  run(command: string): Promise<Said>;
}

/** Makes one of a process that is an `sh` reading commands from its stdin. */
export function machineShell(sh: ChildProcessWithoutNullStreams): MachineShell {
  const ended = new Promise<never>((_, reject) => {
    sh.once('error', reject).once('close', () => reject(new Error('the shell on the machine has ended')));
  });
  ended.catch(() => {});
  sh.stdin.on('error', () => {});
  let last: Promise<unknown> = Promise.resolve();
  let count = 0;
  const runNext = async (command: string): Promise<Said> => {
    // What a command prints ends with this, on both streams; on the first one the exit code follows, too.
    const mark = `one-backup-end-${++count}`;
    const streams = Promise.all([upTo(sh.stdout, mark), upTo(sh.stderr, mark)]);
    sh.stdin.write(`(${command}\n) </dev/null; printf '%s' "${mark} $?." ; printf '%s' '${mark} .' >&2\n`);
    const [out, err] = await Promise.race([streams, ended]);
    return { code: Number(out.rest), stdout: out.text, stderr: err.text };
  };
  return {
    run(command) {
      const said = last.then(() => runNext(command));
      last = said.catch(() => {});
      return said;
    },
  };
}

/** Reads a stream up to `MARK REST.`, which nothing follows. */
function upTo(stream: Readable, mark: string): Promise<{ readonly text: string; readonly rest: string }> {
  return new Promise((resolve) => {
    const pieces: Buffer[] = [];
    const onData = (piece: Buffer): void => {
      pieces.push(piece);
      if (piece.at(-1) !== '.'.charCodeAt(0)) return;
      const all = Buffer.concat(pieces).toString('utf8');
      const at = all.lastIndexOf(`${mark} `);
      if (at === -1) return;
      stream.off('data', onData);
      resolve({ text: all.slice(0, at), rest: all.slice(at + mark.length + 1, -1) });
    };
    stream.on('data', onData);
  });
}
