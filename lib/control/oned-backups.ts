import { firstOf } from '../abort';
import type { StoredPoint } from '../engine/inventory';
import { asDriverError } from '../errors';
import { OnedClient } from '../opennebula/client';
import type { Element } from '../opennebula/document';
import type { OpenedDatastore } from './open-datastore';
import type { Screen } from './screen';
import type { ControlContext } from './subcommand';

/** An oned that does not answer must not keep anybody from the backups, in milliseconds. */
const ANSWER_LIMIT_MS = 10_000;
const PAGE = 500;

/** A backup that oned lists. */
export interface OnedBackup {
  readonly imageId: number;
  readonly imageName: string;
  readonly vmId: number | undefined;
  readonly incrementId: number | undefined;
  readonly source: string;
}

/** What oned lists for a datastore, or why it could not be asked. */
export type OnedAnswer = { readonly backups: readonly OnedBackup[] } | NoAnswer;

interface NoAnswer {
  readonly why: string;
  /** The same for a line beside the answer; all of it, unless told. */
  readonly brief?: string;
}

/** Says why nothing was compared, if so. */
export function noteUncompared(answer: OnedAnswer, screen: Screen): void {
  if (!('why' in answer)) return;
  screen.note(`not compared with oned: ${answer.brief ?? answer.why}`);
  if (answer.brief !== undefined) screen.debug(answer.why);
}

/** Asks oned what it lists. Fails only when the subcommand is cancelled. */
export async function askOned(
  opened: OpenedDatastore,
  { frontEnd, signal }: Pick<ControlContext, 'frontEnd' | 'signal'>,
): Promise<OnedAnswer> {
  const { datastore, from } = opened;
  const limit = AbortSignal.timeout(ANSWER_LIMIT_MS);
  try {
    const client = new OnedClient(await frontEnd.endpoint(), await frontEnd.session(), firstOf(signal, limit));
    const known = await client.datastoreInfo(datastore.id, false);
    const other = from === 'file' ? otherThan(opened, known) : undefined;
    if (other !== undefined) return { why: `oned's datastore ${datastore.id} is another one: ${other}` };
    const ids = new Set((known.find('IMAGES')?.all('ID') ?? []).map(({ text }) => text.trim()));
    const backups: OnedBackup[] = [];
    for (let offset = 0; ids.size > 0; offset += PAGE) {
      const page = await client.imagePool(offset, PAGE);
      for (const image of page) if (ids.delete(image.textOf('ID'))) backups.push(...backupsOf(image));
      if (page.length < PAGE) break;
    }
    if (ids.size > 0) return { why: `oned does not show this user all images of datastore ${datastore.id}` };
    return { backups };
  } catch (error) {
    signal.throwIfAborted();
    if (limit.aborted) return { why: `oned did not answer in ${ANSWER_LIMIT_MS / 1000} s` };
    const { message, what, cause } = asDriverError(error);
    const code = (cause as NodeJS.ErrnoException | undefined)?.code;
    return { why: message, brief: code === undefined ? what : `it does not answer (${code})` };
  }
}

/** In what oned's datastore differs from that of a file: its id alone is only what somebody typed. */
function otherThan({ datastore, driver, document, name }: OpenedDatastore, known: Element): string | undefined {
  const folded = (path = ''): string => path.replace(/\/+/g, '/').replace(/(?<=.)\/$/, '');
  const facts: [what: string, its: string | undefined, ours: string | undefined][] = [
    ['NAME', known.optionalTextOf('NAME'), name],
    ['DS_MAD', known.optionalTextOf('DS_MAD'), driver.name],
    ['BASE_PATH', folded(known.optionalTextOf('BASE_PATH')), datastore.basePath],
    ...driver.attributes
      .filter(({ isPlace }) => isPlace)
      .map((fact): [string, string | undefined, string | undefined] => {
        const valueIn = (one: Element): string | undefined => one.find('TEMPLATE')?.optionalTextOf(fact.name);
        return [fact.name, valueIn(known), valueIn(document)];
      }),
  ];
  const [what, its, ours] = facts.find(([, one, other]) => one !== other) ?? [];
  return what === undefined
    ? undefined
    : `its ${what} is ${JSON.stringify(its ?? '')}, not ${JSON.stringify(ours ?? '')}`;
}

/** How what oned lists and what the server holds differ. */
export interface Comparison {
  /** oned lists it, and neither it nor a merged one in its place is there. */
  readonly onlyOned: readonly OnedBackup[];
  /** It is there, and oned does not list it. */
  readonly onlyServer: readonly StoredPoint[];
}

/** Compares. A source may be shortened on one of the sides. */
export function compareWithOned(points: readonly StoredPoint[], backups: readonly OnedBackup[]): Comparison {
  const listed = new Map(backups.map((backup) => [backup.source, backup]));
  const held = new Set(points.flatMap(({ source, replaces }) => [source, ...replaces]));
  return {
    onlyOned: backups.filter(({ source }) => !held.has(source)),
    onlyServer: points.filter(({ source, replaces }) => ![source, ...replaces].some((one) => listed.has(one))),
  };
}

function backupsOf(image: Element): OnedBackup[] {
  const number = (text: string | undefined): number | undefined => (text === undefined ? undefined : Number(text));
  const base = {
    imageId: Number(image.textOf('ID')),
    imageName: image.optionalTextOf('NAME') ?? '',
    vmId: number(image.find('VMS')?.all('ID')[0]?.text),
  };
  const increments = (image.find('BACKUP_INCREMENTS')?.all('INCREMENT') ?? []).flatMap((increment) => {
    const source = increment.optionalTextOf('SOURCE');
    return source === undefined ? [] : [{ ...base, incrementId: number(increment.optionalTextOf('ID')), source }];
  });
  const source = image.optionalTextOf('SOURCE');
  if (increments.length > 0 || source === undefined || source === '-') return increments;
  return [{ ...base, incrementId: undefined, source }];
}
