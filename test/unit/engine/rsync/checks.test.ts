import t from 'tap';
import { checksOf } from '../../../../lib/engine/rsync/checks';
import type { Host } from '../../../../lib/host/host';
import type { AbsolutePath } from '../../../../lib/opennebula/ids';
import { pointOf } from '../../control/stored-world';

/** A backup server that has these programs; every disk there is a qcow2, and has another checksum than it should. */
const serverWith = (...had: string[]): Host =>
  ({
    name: 'server',
    programs: async (names: readonly string[]) => new Set(names.filter((name) => had.includes(name))),
    run: async ({ argv }: { argv: readonly string[] }) =>
      argv.includes('qemu-img') ? undefined : argv.join(' ').includes('sha256') ? ['other'] : [{ format: 'qcow2' }],
  }) as unknown as Host;

t.test('where qemu-img is missing, the form of disks is not checked, and all else is', async (t) => {
  const disk = { id: 0, file: 'disk.0.0', sizeBytes: 1, virtualSizeMb: 1 };
  const point = { ...pointOf('a0', 0, 5), disks: [disk] } as unknown as ReturnType<typeof pointOf>;
  const stored = [{ point, noted: [{ name: 'disk.0.0', sizeBytes: 1, diskId: 0, virtualSizeMb: 1, sha256: 'right' }] }];
  const checks = (...had: string[]) =>
    checksOf(
      stored as never,
      { share: 1, seed: 0, bandwidthLimitKib: undefined },
      {
        server: serverWith('sh', 'setsid', 'timeout', 'sed', 'flock', 'sha256sum', 'stat', ...had),
        basePath: '/backups' as AbsolutePath,
      },
    );
  const [form, data, ...others] = await checks();
  t.equal(others.length, 0);
  t.strictSame(form?.points, [point], 'whose backups are not checked');
  await t.rejects(async () => form?.run(), { kind: 'noProgram', message: /qemu-img/ });
  t.match(await data?.run(), [{ file: 'disk.0.0', what: /checksum/ }]);
  const all = await checks('qemu-img');
  t.equal(all.length, 1);
  t.not(all[0]?.id, data?.id, 'what was checked without it is checked again');
});
