import { quote } from '../command/quote';
import type { Engine } from '../engine/engine';
import { type Check, fine, type Link } from '../engine/examination';
import type { Leftover } from '../engine/inventory';
import { DriverError } from '../errors';
import { sizeText } from '../host/size-text';
import type { CommandLine } from './call';
import { notExamined } from './examine-links';
import type { OpenedDatastore } from './open-datastore';
import type { ControlContext } from './subcommand';

const MB = 2 ** 20;

/** What is examined. */
interface Subject {
  readonly opened: OpenedDatastore;
  readonly context: Pick<ControlContext, 'line'>;
  readonly engine: Engine;
}

/** What a datastore holds that somebody should know of: what oned lets it take, and what dead actions left. */
export function stateLinks({ opened, context, engine }: Subject): Link[] {
  const limit = Number(opened.datastore.template.find('LIMIT_MB')?.text.trim() || Number.NaN);
  const { correctedBy } = opened.datastore;
  const limited: Link = { what: 'limit', examine: async () => [await limitCheck(engine, limit, correctedBy)] };
  const leftovers: Link = {
    what: 'leftovers',
    examine: () => leftoversChecks(engine, sweepOf(opened, context.line)),
  };
  const images = opened.from === 'oned' ? (opened.document.find('IMAGES')?.all('ID') ?? []).length : 0;
  const backups: Link = { what: 'backups', examine: async () => [await backupsCheck(engine, images)] };
  const all = [...(Number.isNaN(limit) ? [] : [limited]), ...(images === 0 ? [] : [backups]), leftovers];
  return all.map((link) => ({ ...link, after: ['programs'] }));
}

/** That what oned lists is there at all: a disk of the server that is not mounted looks like a fresh datastore. */
async function backupsCheck(engine: Engine, images: number): Promise<Check> {
  const inventory = engine.inventory?.();
  if (inventory === undefined) return notExamined('this driver cannot tell');
  const gone = await inventory.isEmpty().then(
    (isEmpty) => (isEmpty ? 'the server holds none' : undefined),
    (error: unknown) => {
      if (error instanceof DriverError && error.kind === 'notFound') return error.what;
      throw error;
    },
  );
  const listed = `oned lists ${images === 1 ? 'one backup image' : `${images} backup images`} here`;
  if (gone === undefined) return fine(`${listed}, and the server holds backups`);
  const hint =
    'See whether all filesystems of the server are mounted, and its pools imported, before a backup begins anew there';
  return { state: 'failure', says: `${listed}, and ${gone}`, hint };
}

async function limitCheck(engine: Engine, limitMb: number, correctedBy: string): Promise<Check> {
  const { totalBytes, freeBytes } = await engine.space();
  const usedBytes = totalBytes - freeBytes;
  const says = `LIMIT_MB lets the backups take ${sizeText(limitMb * MB)}, and ${sizeText(usedBytes)} are in use`;
  if (usedBytes < limitMb * MB) return fine(says);
  return {
    state: 'failure',
    says,
    hint: `Remove old backups or what else takes room there, or raise it ${correctedBy}`,
  };
}

/** What removes leftovers; sweep does not know a datastore that oned has not numbered yet. */
function sweepOf({ isNew }: OpenedDatastore, line: CommandLine): Pick<Check, 'hint' | 'mend'> {
  if (isNew) return { hint: 'Once the datastore is registered, backupctl sweep removes it' };
  const given = ['id', 'base-path'].flatMap((name) => line.texts(name).flatMap((value) => [`--${name}`, value]));
  const command = quote(['backupctl', 'sweep', ...line.words('FILE|ID'), ...given, '--yes']);
  return { mend: { commands: [{ command }] } };
}

async function leftoversChecks(engine: Engine, sweep: Pick<Check, 'hint' | 'mend'>): ReturnType<Link['examine']> {
  const inventory = engine.inventory?.();
  if (inventory === undefined) return [notExamined('this driver cannot tell')];
  const found = await inventory.leftovers().catch((error: unknown): undefined => {
    if (error instanceof DriverError && error.kind === 'notFound') return undefined;
    throw error;
  });
  if (found === undefined) return [fine('nothing was stored yet')];
  const ofUse = found.filter(({ isOfUse }) => isOfUse);
  const useless = found.filter(({ isOfUse }) => !isOfUse);
  if (useless.length === 0) return [fine(ofUse.length === 0 ? 'none' : leftText(ofUse))];
  const left: Check = { state: 'warning', says: leftText(useless), ...sweep };
  return ofUse.length === 0 ? [left] : [left, fine(`${leftText(ofUse)}; sweep would remove that, too`)];
}

function leftText(found: readonly Leftover[]): string {
  const kinds = new Map<string, number>();
  for (const { what } of found) kinds.set(what, (kinds.get(what) ?? 0) + 1);
  const bytes = found.reduce((sum, one) => sum + (one.bytes ?? 0), 0);
  const listed = [...kinds].map(([what, count]) => (count === 1 ? what : `${count} times ${what}`)).join('; ');
  return bytes === 0 ? listed : `${listed} (${sizeText(bytes)})`;
}
