import type { AttributeFact } from '../engine';
import { throttleFacts } from '../throttle-attributes';

/** The attributes of an rsync datastore (contract, "Attributes of the stock drivers"). */
export const RSYNC_ATTRIBUTES: readonly AttributeFact[] = [
  { name: 'RSYNC_HOST', what: 'the name or address of the backup server', required: true, isPlace: true },
  { name: 'RSYNC_USER', what: 'the login on the backup server' },
  { name: 'RSYNC_ARGS', what: 'options of rsync that say how a file is transferred' },
  { name: 'RSYNC_SPARSIFY', what: 'YES, if merged disks are to be made sparse' },
  { name: 'RSYNC_TMP_DIR', what: 'the folder where chains are merged for a download' },
  ...throttleFacts('RSYNC'),
  { name: 'RSYNC_STALL_LIMIT', what: 'the seconds that a program may move no data' },
];
