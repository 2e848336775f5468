import type { DriverName } from '../helpers/drivers';

/** What the tour has to know of a driver; everything else is the same for all. */
export interface DemoDriver {
  /** Its folder below remotes/datastore. */
  readonly name: DriverName;
  /** What the hosts of the tour are, in words. */
  readonly world: string;
  /** What has to be there beside the programs, as build/setup.cjs names it. */
  readonly needs?: '--zfs';
  /** How large the VMs' disks are. */
  readonly diskMb: number;
  /** When a backup has begun to transfer, in seconds. */
  readonly headStartSeconds: number;
}

const ONE_MACHINE =
  'A private sshd on 127.0.0.1 is the hypervisor host ("ssh host1") and the backup server ("ssh server").';
const TWO_MACHINES =
  'A private sshd on 127.0.0.1 is the hypervisor host ("ssh host1"); the backup server ("ssh server") is an emulated machine with real OpenZFS, ten to twenty times slower than one of metal, and set up as the README says.';

/** The drivers that the demo can show. */
export const DEMO_DRIVERS: Readonly<Record<string, DemoDriver>> = {
  restic: { name: 'restic', world: ONE_MACHINE, diskMb: 96, headStartSeconds: 6 },
  rsync: { name: 'rsync', world: ONE_MACHINE, diskMb: 96, headStartSeconds: 6 },
  zfs: { name: 'zfs', world: TWO_MACHINES, needs: '--zfs', diskMb: 32, headStartSeconds: 10 },
};
