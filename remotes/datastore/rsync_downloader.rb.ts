import { downloader } from '../../lib/action/downloader';
import { runAction } from '../../lib/action/run';
import { rsyncDriver } from '../../lib/engine/rsync/driver';

runAction(downloader, rsyncDriver);
