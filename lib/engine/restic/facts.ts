import type { ImageId, IncrementId } from '../../opennebula/ids';
import type { Manifest } from '../../opennebula/manifest';
import type { StoredPoint } from '../inventory';

/**
 * On our snapshots: what of the manifest a list shows, so that a list need not read every manifest. restic divides tags at
 * commas (restic manual, "Tags for backup"), of which the percent code has none.
 */
const FACTS = 'one-facts:';
const NAME_LIMIT = 60;

/**
 * Says it in one tag: `one-facts:bytes=3146889&image=6&parent=1&disk.0=1638400/42&name=web&run=5f0c91`. `run`, where it
 * matters, tells the snapshots of two runs apart that stored the same.
 */
export function factsTag(
  { imageId, parentId, vmName = '', files }: Omit<Manifest, 'version'>,
  bytes: number,
  run?: string,
): string {
  const disks = files
    .filter(({ diskId }) => diskId !== undefined)
    .map(({ name, sizeBytes, virtualSizeMb = '' }): [string, string] => [name, `${sizeBytes}/${virtualSizeMb}`]);
  const facts: [string, string | number | undefined][] = [
    ['bytes', bytes],
    ['image', imageId],
    ['parent', parentId],
    ...disks,
    ['name', Buffer.from([...vmName].slice(0, NAME_LIMIT).join('')).toString() || undefined],
    ['run', run],
  ];
  const said = facts.filter(([, value]) => value !== undefined);
  return FACTS + said.map(([key, value]) => `${key}=${encodeURIComponent(value as string)}`).join('&');
}

/** The backup with what its tag tells; as it is, for one that has none. */
export function withFacts(point: StoredPoint, tags: readonly string[]): StoredPoint {
  const tag = tags.find((one) => one.startsWith(FACTS));
  if (tag === undefined) return point;
  const facts = new URLSearchParams(tag.slice(FACTS.length));
  const number = (key: string): number | undefined => numberIn(facts.get(key));
  const vmName = facts.get('name') ?? undefined;
  return {
    ...point,
    vmName,
    imageId: number('image') as ImageId | undefined,
    parentId: number('parent') as IncrementId | undefined,
    storedBytes: number('bytes') ?? point.storedBytes,
    disks: point.disks.map((disk) => {
      const [sizeBytes, virtualSizeMb] = (facts.get(disk.file) ?? '').split('/').map(numberIn);
      return { ...disk, sizeBytes, virtualSizeMb };
    }),
  };
}

function numberIn(text: string | null | undefined): number | undefined {
  return text !== undefined && text !== null && /^[0-9]{1,15}$/.test(text) ? Number(text) : undefined;
}
