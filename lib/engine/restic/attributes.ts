import type { AttributeFact } from '../engine';
import { throttleFacts } from '../throttle-attributes';

const S3 = 'backups in S3 are not supported yet';

/** The attributes of a restic datastore (contract, "Attributes of the stock drivers"). */
export const RESTIC_ATTRIBUTES: readonly AttributeFact[] = [
  { name: 'RESTIC_BACKEND', what: 'SFTP, the only way to the repositories so far' },
  { name: 'RESTIC_SFTP_SERVER', what: 'the name or address of the backup server', required: true, isPlace: true },
  { name: 'RESTIC_SFTP_USER', what: 'the login on the backup server' },
  { name: 'RESTIC_PASSWORD', what: 'the password that opens the repositories', required: true, secret: true },
  { name: 'RESTIC_CONNECTIONS', what: 'the number of SFTP requests at a time' },
  { name: 'RESTIC_BWLIMIT', what: 'the KiB per second that each restic may move' },
  { name: 'RESTIC_COMPRESSION', what: 'how new data is compressed' },
  { name: 'RESTIC_MAXPROC', what: 'the number of threads of restic' },
  { name: 'RESTIC_SPARSIFY', what: 'YES, if merged disks are to be made sparse' },
  { name: 'RESTIC_TMP_DIR', what: 'the folder where chains are merged' },
  { name: 'RESTIC_PRUNE_MAX_UNUSED', what: 'how much prune may leave unused' },
  { name: 'RESTIC_PRUNE_MAX_REPACK', what: 'how much one prune rewrites at most' },
  ...throttleFacts('RESTIC'),
  { name: 'RESTIC_LOCK_WAIT', what: 'the seconds that a held lock is waited for' },
  { name: 'RESTIC_STALL_LIMIT', what: 'the seconds that a program may move no data' },
  { name: 'RESTIC_S3_ENDPOINT', what: 'the URL of the S3 service', unread: S3 },
  { name: 'RESTIC_S3_BUCKET', what: 'the bucket', unread: S3 },
  { name: 'RESTIC_S3_REGION', what: 'the region', unread: S3 },
  { name: 'RESTIC_S3_ACCESS_KEY_ID', what: 'the access key', unread: S3 },
  { name: 'RESTIC_S3_SECRET_ACCESS_KEY', what: 'the secret of the access key', secret: true, unread: S3 },
  { name: 'RESTIC_S3_FORCE_PATH_STYLE', what: 'YES, if the bucket stands in the path', unread: S3 },
  { name: 'RESTIC_S3_CACERT', what: 'the certificate of the authority', unread: S3 },
  { name: 'RESTIC_S3_INSECURE_TLS', what: 'YES, if certificates are not to be checked', unread: S3 },
];
