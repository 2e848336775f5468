import { downloader } from '../../lib/action/downloader';
import { runAction } from '../../lib/action/run';
import { resticDriver } from '../../lib/engine/restic/driver';

runAction(downloader, resticDriver);
