import { Writable } from 'node:stream';
import * as restic from '../../command/restic';
import type { AbsolutePath } from '../../opennebula/ids';
import type { Repository } from './repository';

/** Reads a small file of a snapshot. Throws `notFound`. */
export async function readSnapshotFile(repository: Repository, snapshot: string, path: AbsolutePath): Promise<Buffer> {
  const chunks: Buffer[] = [];
  const output = new Writable({
    write: (chunk: Buffer, _, done) => {
      chunks.push(chunk);
      done();
    },
  });
  await repository.run(restic.dump(repository.access, snapshot, path, 'no-lock'), { output });
  return Buffer.concat(chunks);
}
