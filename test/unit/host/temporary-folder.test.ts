import { existsSync, mkdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { DriverError } from '../../../lib/errors';
import { makeTemporaryFolder } from '../../../lib/host/temporary-folder';
import { parseAbsolutePath } from '../../../lib/opennebula/ids';
import { failure } from '../../helpers/failure';
import { localHost } from '../../helpers/local-host';
import { until } from '../../helpers/waits';

t.test(
  'a temporary folder goes when told, when the action is aborted, and waits for who still writes into it',
  async (t) => {
    const parent = parseAbsolutePath(join(t.testdir(), 'tmp'), 'a path');
    const kept = await makeTemporaryFolder(localHost(), parent, 'try-');
    t.equal(statSync(kept.path).mode & 0o777, 0o700);
    mkdirSync(join(kept.path, 'deep/er'), { recursive: true });
    writeFileSync(join(kept.path, 'deep/er/file'), 'x');
    await kept.remove();
    t.notOk(existsSync(kept.path));
    const abort = new AbortController();
    const aborted = await makeTemporaryFolder(localHost(abort.signal), parent, 'try-');
    abort.abort(new DriverError('cancelled', 'enough'));
    t.ok(await until(() => !existsSync(aborted.path)));
    await t.rejects(makeTemporaryFolder(localHost(), parseAbsolutePath('/proc/nowhere', 'p'), 'x-'), failure('failed'));
  },
);
