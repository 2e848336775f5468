import { quote } from '../../command/quote';
import type { Dataset } from '../../command/zfs-list';
import type { Mend } from '../../errors';
import type { Check } from '../examination';
import { FULL_BELOW_BYTES, spaceCheck } from '../examined-folder';

/** What is full of its quota by this share has reached it: ZFS stops a little before. */
const REACHED_SHARE = 0.95;

/** How the server is asked, and what root would do there. */
interface Asked {
  readonly look: (dataset: string) => Promise<Dataset | undefined>;
  readonly byRoot: (command: string) => Mend;
}

/** The room in a dataset and, where there is none, the quota that leaves none. `own` is the datastore's dataset. */
export async function roomCheck(
  held: Pick<Dataset, 'name' | 'usedBytes' | 'availableBytes'>,
  own: string,
  asked: Asked,
): Promise<Check> {
  const { name, usedBytes, availableBytes = 0 } = held;
  const [pool = ''] = name.split('/');
  const room = { freeBytes: availableBytes, totalBytes: usedBytes + availableBytes };
  const space = spaceCheck(room, name, quote(['zfs', 'list', '-ro', 'space', pool]));
  return space.state === 'ok' ? space : { ...space, ...(await limitOf(name, own, asked)) };
}

/** Whose quota it is that leaves no room, if it is one: of the dataset itself or of one above. */
async function limitOf(name: string, own: string, { look, byRoot }: Asked): Promise<Pick<Check, 'hint' | 'mend'>> {
  const parts = name.split('/');
  for (let length = parts.length; length > 0; length--) {
    const one = await look(parts.slice(0, length).join('/'));
    if (one === undefined || !isReached(one)) continue;
    if (one.name === own)
      return {
        hint: `The quota of ${own} is reached: raise ZFS_QUOTA of the datastore, which the next backup sets, or remove old ones`,
      };
    const hint = `The quota of ${one.name} is reached: raise it, or remove old backups`;
    return { hint, mend: { ...byRoot(`zfs set quota=${one.quotaBytes * 2} ${one.name}`), when: hint } };
  }
  return {};
}

/** Whether a dataset's quota leaves no room for a backup. */
function isReached({ usedBytes, quotaBytes }: Dataset): boolean {
  if (quotaBytes === 0) return false;
  return usedBytes >= quotaBytes * REACHED_SHARE || quotaBytes - usedBytes < FULL_BELOW_BYTES;
}
