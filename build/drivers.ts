/** What oned and the hosts have to know of a driver. */
export interface DriverFacts {
  /** Attributes without which oned refuses to create a datastore. */
  readonly required: readonly string[];
  /** Secret attributes, which oned stores encrypted when oned.conf names them. */
  readonly encrypted: readonly string[];
  /** The program in the driver's folder that `onehost sync` brings to the hosts, where OpenNebula ships one. */
  readonly hostProgram?: string;
}

/** The same names as in the oned.conf of OpenNebula 7, so that datastores made for the stock drivers stay as they are. */
const FACTS: Readonly<Record<string, DriverFacts>> = {
  restic: {
    required: ['RESTIC_PASSWORD', 'RESTIC_SFTP_SERVER'],
    encrypted: ['RESTIC_PASSWORD', 'RESTIC_S3_SECRET_ACCESS_KEY'],
    hostProgram: 'restic',
  },
  rsync: { required: ['RSYNC_HOST'], encrypted: [] },
  zfs: { required: ['ZFS_HOST', 'ZFS_DATASET'], encrypted: [] },
};

/** Returns the facts of a driver; one that is not in the table requires nothing and has no secrets. */
export function factsOf(driver: string): DriverFacts {
  return FACTS[driver] ?? { required: [], encrypted: [] };
}
